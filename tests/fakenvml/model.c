/* The clock, and what the GPUs do at a time of it. */
#include "fakenvml.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- The clock -------------------------------------------------------------------------------------- */

static double seconds_of(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double real_seconds(void) {
    return seconds_of(CLOCK_MONOTONIC);
}

void sleep_for(double seconds) {
    struct timespec rest = {(time_t)seconds, (long)(fmod(seconds, 1) * 1e9)};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        ;
}

/* Without a shared epoch, the scenario begins at this process' first nvmlInit. */
double epoch(void) {
    static _Atomic double first_init;
    if (scenario.epoch >= 0)
        return scenario.epoch;
    if (first_init == 0)
        first_init = seconds_of(CLOCK_REALTIME);
    return first_init;
}

double now(void) {
    const char *pinned = scenario.pinned ? getenv("FAKE_NVML_NOW") : NULL;
    double t = pinned ? strtod(pinned, NULL) : (seconds_of(CLOCK_REALTIME) - epoch()) * scenario.scale;
    return fmax(t, 0);
}

unsigned long long timestamp_us(double t) {
    return (unsigned long long)(llround(epoch() * 1e6) + llround(t * 1e6));
}

/* ---- Waves ------------------------------------------------------------------------------------------ */

/* The last of the lines in force wins, so that a later line refines an earlier one. */
static const Line *wave_at(const Gpu *gpu, double t) {
    const Line *wave = NULL, *line = NULL;
    while ((line = next_line(line, WAVE, gpu, t)))
        wave = line;
    return wave;
}

static double cycles(const Line *wave, double t) {
    return (t - wave->at) / wave->period + wave->phase;
}

/* The row of a trace in force at t: the last that has begun, or the first. */
static size_t trace_row(const Line *wave, double t) {
    size_t low = 0, high = wave->points;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (wave->trace[middle].t <= t - wave->at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static double level_at(const Line *wave, double t) {
    if (!wave)
        return 0;
    double cycle = cycles(wave, t);
    switch (wave->wave_kind) {
    case SQUARE:
        return cycle - floor(cycle) < wave->duty ? wave->hi : wave->lo;
    case SINE:
        return wave->lo + (wave->hi - wave->lo) * (1 + sin(2 * M_PI * cycle)) / 2;
    case TRACE:
        return wave->trace[trace_row(wave, t)].level;
    default:
        return wave->hi;
    }
}

Moment moment_at(const Gpu *gpu, double t) {
    const Line *wave = wave_at(gpu, t);
    return (Moment){gpu, wave, t, level_at(wave, t)};
}

/* ---- Integrals of a quantity over time -------------------------------------------------------------- */

static double at_level(Moment moment, double level, Quantity *quantity, uint64_t argument) {
    moment.level = level;
    return quantity(&moment, argument);
}

/* How long a square wave was high, up to t. */
static double high_seconds(const Line *wave, double t) {
    double cycle = cycles(wave, t), whole = floor(cycle);
    return (whole * wave->duty + fmin(cycle - whole, wave->duty)) * wave->period;
}

static double square_integral(const Moment *moment, Quantity *quantity, uint64_t argument, double from, double to) {
    const Line *wave = moment->wave;
    double high_s = high_seconds(wave, to) - high_seconds(wave, from);
    return at_level(*moment, wave->hi, quantity, argument) * high_s
        + at_level(*moment, wave->lo, quantity, argument) * (to - from - high_s);
}

static double midpoint_integral(const Moment *moment, Quantity *quantity, uint64_t argument, double from, double to) {
    const int points = 64;
    double sum = 0;
    for (int i = 0; i < points; i++) {
        double t = from + (to - from) * (i + 0.5) / points;
        sum += at_level(*moment, level_at(moment->wave, t), quantity, argument);
    }
    return sum * (to - from) / points;
}

static double sine_integral(const Moment *moment, Quantity *quantity, uint64_t argument, double from, double to) {
    double period = moment->wave->period, whole = floor((to - from) / period), sum = 0;
    if (whole > 0)
        sum = whole * midpoint_integral(moment, quantity, argument, from, from + period);
    return sum + midpoint_integral(moment, quantity, argument, from + whole * period, to);
}

static double trace_integral(const Moment *moment, Quantity *quantity, uint64_t argument, double from, double to) {
    const Line *wave = moment->wave;
    double sum = 0;
    for (size_t row = trace_row(wave, from); from < to; row++) {
        double end = row + 1 < wave->points ? fmin(to, wave->at + wave->trace[row + 1].t) : to;
        sum += at_level(*moment, wave->trace[row].level, quantity, argument) * (end - from);
        from = end;
    }
    return sum;
}

/* Over a stretch of one wave, in which nothing begins or ends. */
static double wave_integral(const Moment *moment, Quantity *quantity, uint64_t argument, double from, double to) {
    switch (moment->wave ? moment->wave->wave_kind : CONSTANT) {
    case SQUARE:
        return square_integral(moment, quantity, argument, from, to);
    case SINE:
        return sine_integral(moment, quantity, argument, from, to);
    case TRACE:
        return trace_integral(moment, quantity, argument, from, to);
    default:
        return quantity(moment, argument) * (to - from);
    }
}

/* When the next wave or forced reason begins or ends. */
static double next_change(double t) {
    double next = INFINITY;
    for (const Line *line = scenario.lines; line < scenario.lines + scenario.line_count; line++) {
        if (line->directive != WAVE && line->directive != REASONS)
            continue;
        if (line->at > t)
            next = fmin(next, line->at);
        if (line->until > t)
            next = fmin(next, line->until);
    }
    return next;
}

double integral(const Gpu *gpu, Quantity *quantity, uint64_t argument, double from, double to) {
    double sum = 0;
    while (from < to) {
        double end = fmin(to, next_change(from));
        Moment moment = moment_at(gpu, from);
        sum += wave_integral(&moment, quantity, argument, from, end);
        from = end;
    }
    return sum;
}

/* Between two times, of which none is before the scenario; at one time, the value there. */
double mean(const Gpu *gpu, Quantity *quantity, uint64_t argument, double from, double to) {
    from = fmax(from, 0);
    if (to - from < 1e-9) {
        Moment moment = moment_at(gpu, to);
        return quantity(&moment, argument);
    }
    return integral(gpu, quantity, argument, from, to) / (to - from);
}

double recent(const Gpu *gpu, Quantity *quantity, double window_s) {
    double t = now();
    return mean(gpu, quantity, 0, t - window_s, t);
}

/* ---- Quantities ------------------------------------------------------------------------------------- */

#define IDLE_W 70.0
#define POWER_SHARE 0.9 /* of the room between idle and limit, which full utilisation uses */
#define POWER_CAP_SHARE 0.88 /* of the limit, above which the clocks are capped */
#define TEMPERATURE_WINDOW_S 5.0

double utilisation(const Moment *moment, uint64_t unused) {
    (void)unused;
    return moment->level;
}

double power_w(const Moment *moment, uint64_t unused) {
    (void)unused;
    if (moment->wave && moment->wave->watts > 0)
        return moment->wave->watts;
    return IDLE_W + POWER_SHARE * (moment->gpu->limit_w - IDLE_W) * moment->level / 100;
}

uint64_t clock_reasons(const Moment *moment) {
    uint64_t mask = 0;
    for (const Line *line = NULL; (line = next_line(line, REASONS, moment->gpu, moment->t));)
        mask |= line->mask;
    if (moment->level < 1)
        mask |= REASON_IDLE;
    if (power_w(moment, 0) > POWER_CAP_SHARE * moment->gpu->limit_w)
        mask |= REASON_SW_POWER_CAP;
    return mask;
}

/* 1 while one of these reasons holds: its integral is the time it held. */
double has_reason(const Moment *moment, uint64_t mask) {
    return (clock_reasons(moment) & mask) != 0;
}

double energy_mj(const Gpu *gpu) {
    return 1000 * integral(gpu, power_w, 0, 0, now());
}

double transferred_mib(const Gpu *gpu, double full_mib_per_s) {
    return full_mib_per_s * integral(gpu, utilisation, 0, 0, now()) / 100;
}

double temperature_c(const Gpu *gpu) {
    return 30 + 0.45 * recent(gpu, utilisation, TEMPERATURE_WINDOW_S);
}

uint64_t ecc_errors(const Gpu *gpu, bool uncorrected) {
    uint64_t count = 0;
    for (const Line *line = NULL; (line = next_line(line, ECC, gpu, now()));)
        if (uncorrected == (*line->kind == 'u'))
            count += line->count;
    return count;
}
