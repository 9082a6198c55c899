/* sensors.h - temperatures and clocks that the system shows to everybody (Linux and Android: files under /sys). */
#ifndef TT_CLI_SENSORS_H
#define TT_CLI_SENSORS_H

#include <stddef.h>

/* One reading. */
typedef struct cli_sensor {
    char name[64];    /* "thermal gpuss-0-usr", "gpu clock", "cpu4 clock" */
    const char *unit; /* "C" or "MHz" */
    double value;
} cli_sensor;

enum { CLI_MAX_SENSORS = 96 };

/* Reads what there is; returns how many, 0 where the system shows nothing. */
size_t cli_sensors_read(cli_sensor sensors[CLI_MAX_SENSORS]);

#endif
