/* sensors.c - reads thermal zones, CPU clocks, and the clocks of Adreno and Mali GPUs. */
#include "cli/sensors.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A GPU's clock: Adreno's driver, then Mali's under its usual names; Hz. */
static const char *const gpu_clocks[] = {"/sys/class/kgsl/kgsl-3d0/gpuclk", "/sys/class/kgsl/kgsl-3d0/devfreq/cur_freq",
                                         "/sys/class/misc/mali0/device/devfreq/devfreq0/cur_freq",
                                         "/sys/class/misc/mali0/device/clock"};

enum { MAX_ZONES = 80, MAX_CPUS = 16, PATH = 128 };

static bool read_number(const char *path, double *value)
{
    FILE *file = fopen(path, "r");
    bool found = file != NULL && fscanf(file, "%lf", value) == 1;
    if (file != NULL)
        (void)fclose(file);
    return found;
}

/* First word of a file. */
static bool read_word(const char *path, char word[48])
{
    FILE *file = fopen(path, "r");
    bool found = file != NULL && fscanf(file, "%47s", word) == 1;
    if (file != NULL)
        (void)fclose(file);
    return found;
}

static void add(cli_sensor *sensors, size_t *n, const char *name, const char *unit, double value)
{
    if (*n == CLI_MAX_SENSORS)
        return;
    (void)snprintf(sensors[*n].name, sizeof sensors[*n].name, "%s", name);
    sensors[*n].unit = unit;
    sensors[(*n)++].value = value;
}

static void read_zones(cli_sensor *sensors, size_t *n)
{
    char path[PATH], type[48], name[64];
    for (int i = 0; i < MAX_ZONES; i++) {
        double value = 0;
        (void)snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/type", i);
        bool has_type = read_word(path, type);
        (void)snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", i);
        if (!has_type || !read_number(path, &value))
            continue;
        (void)snprintf(name, sizeof name, "thermal %s", type);
        add(sensors, n, name, "C", value > 1000 || value < -1000 ? value * 1e-3 : value); /* most count millidegrees */
    }
}

static void read_clocks(cli_sensor *sensors, size_t *n)
{
    char path[PATH], name[64];
    double value = 0;
    for (int i = 0; i < MAX_CPUS; i++) {
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", i);
        (void)snprintf(name, sizeof name, "cpu%d clock", i);
        if (read_number(path, &value))
            add(sensors, n, name, "MHz", value * 1e-3);
    }
    for (size_t i = 0; i < sizeof gpu_clocks / sizeof *gpu_clocks; i++)
        if (read_number(gpu_clocks[i], &value)) {
            add(sensors, n, "gpu clock", "MHz", value > 1e5 ? value * 1e-6 : value);
            return;
        }
}

size_t cli_sensors_read(cli_sensor sensors[CLI_MAX_SENSORS])
{
    size_t n = 0;
    read_zones(sensors, &n);
    read_clocks(sensors, &n);
    return n;
}
