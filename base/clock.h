/* clock.h - a clock that only goes forward, for measurements. */
#ifndef TT_BASE_CLOCK_H
#define TT_BASE_CLOCK_H

/* Since some fixed moment in the past. */
double tt_clock_seconds(void);
double tt_clock_ms(void);

#endif
