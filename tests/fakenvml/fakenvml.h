/* A scriptable libnvidia-ml.so.1: clients of the real pynvml run unmodified on a machine without a GPU.
 *
 * A scenario file says what the GPUs do over time; docs/reference/fake-nvml.md describes its language
 * and the environment variables.  Every reading is a function of the scenario and the clock alone, so a
 * pinned clock makes tests exact; levels of a wave are integrated, not sampled, so that the energy
 * counter agrees with the power readings.
 *
 * scenario.c reads the scenario, model.c says what the GPUs do at a time, fakenvml.c has what every call
 * does first and the calls of the library as a whole; readings.c, mig.c, events.c and gpm.c are the
 * calls on devices.  To imitate an old driver, leave a function out, or let it fail with code 13.
 */
#ifndef FAKENVML_H
#define FAKENVML_H
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_GPUS 32
#define MAX_SLICES 7
#define MAX_LINES 256
#define MIB 1048576.0

typedef int nvmlReturn_t;
enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    TIMEOUT = 10,
    OUT_OF_MEMORY = 20,
    VERSION_MISMATCH = 25,
    UNKNOWN = 999,
};

/* ---- The scenario (scenario.c) ---------------------------------------------------------------------- */

typedef struct Gpu Gpu;
typedef char Text[200];
enum { WHOLE = -1 };

/* What an NVML handle points to: a GPU, or a MIG slice of one. */
typedef struct {
    Gpu *gpu;
    int slice; /* or WHOLE */
    char uuid[64];
} Device;

struct Gpu {
    int index; /* on the node, and so the minor number: FAKE_NVML_VISIBLE does not change it */
    int visible_index; /* -1 when the cgroup hides it */
    int cc_major, cc_minor;
    Text name;
    double memory_bytes, limit_w, mem_used;
    double ring_period_s, ring_scale;
    unsigned ring_depth;
    unsigned slices; /* 0: MIG is off */
    Device whole, slice[MAX_SLICES];
};

typedef enum { GPU, DRIVER, CLOCK, WAVE, FAULT, LATENCY, REASONS, XID, ECC, PROC, MIG } Directive;
typedef enum { CONSTANT, SQUARE, SINE, TRACE } WaveKind;
typedef struct { double t, level; } TracePoint;

/* A line of the scenario.  A directive uses the keys that scenario.c gives it. */
typedef struct {
    Directive directive;
    uint32_t gpus; /* a bit each */
    double at, until;
    Text name, kind, fn, csv;
    double cc, mem_gib, power_w, mem_used, ring_ms, ring_scale;
    double period, duty, hi, lo, phase, watts, us, scale;
    uint64_t count, ring, cuda, code, mask, pid, mig;
    /* Made of the keys: */
    WaveKind wave_kind;
    TracePoint *trace;
    size_t points;
    long field; /* of fn=field:ID, else -1 */
    uint32_t delivered; /* to the GPUs of these bits */
} Line;

/* It does not change between the first nvmlInit and the last nvmlShutdown, but for `delivered`. */
typedef struct {
    int gpu_count, line_count;
    bool gpus_settled; /* named by some line: no more may come */
    double scale;
    double epoch; /* FAKE_NVML_T0, or -1 */
    bool pinned; /* by FAKE_NVML_NOW, which is looked up at every call only then */
    unsigned cuda;
    Text driver;
    Gpu gpus[MAX_GPUS];
    Line lines[MAX_LINES];
} Scenario;

extern Scenario scenario;

/* Reads the file and the environment; false after one line on stderr that says what is wrong where. */
bool load_scenario(void);
uint32_t all_gpus(void);
bool concerns(uint32_t gpus, const Gpu *gpu);

/* The next line of a directive that is in force for the GPU at t, after `line`, or from the start: NULL. */
Line *next_line(const Line *line, Directive directive, const Gpu *gpu, double t);

/* ---- The clock and the model (model.c) -------------------------------------------------------------- */

#define MEMORY_ACTIVITY 0.45 /* of the utilisation */
#define NVLINKS 18
#define NVLINK_MIB_PER_S 20000.0 /* all links, each direction, at full utilisation */
#define PCIE_MIB_PER_S 2000.0
#define POWER_WINDOW_S 1.0
#define POWER_RING_PERIOD_S 0.02

enum {
    REASON_IDLE = 0x1,
    REASON_SW_POWER_CAP = 0x4,
    REASON_HW_SLOWDOWN = 0x8,
    REASON_SYNC_BOOST = 0x10,
    REASON_SW_THERMAL = 0x20,
    REASON_HW_THERMAL = 0x40,
    REASON_POWER_BRAKE = 0x80,
    REASONS_SLOW = REASON_HW_SLOWDOWN | REASON_SW_THERMAL | REASON_HW_THERMAL | REASON_POWER_BRAKE,
};

/* What a GPU does at one moment. */
typedef struct {
    const Gpu *gpu;
    const Line *wave; /* NULL: idle */
    double t, level; /* utilisation, per cent */
} Moment;

/* A quantity that depends on the moment alone; the argument is the quantity's own. */
typedef double Quantity(const Moment *moment, uint64_t argument);
Quantity utilisation, power_w, has_reason;

double real_seconds(void);
void sleep_for(double seconds);
double epoch(void); /* when the scenario began, in seconds since 1970 */
double now(void); /* seconds of the scenario */
unsigned long long timestamp_us(double t);

Moment moment_at(const Gpu *gpu, double t);
double integral(const Gpu *gpu, Quantity *quantity, uint64_t argument, double from, double to);
double mean(const Gpu *gpu, Quantity *quantity, uint64_t argument, double from, double to);
double recent(const Gpu *gpu, Quantity *quantity, double window_s); /* the mean of the last seconds */
uint64_t clock_reasons(const Moment *moment);
double energy_mj(const Gpu *gpu);
double transferred_mib(const Gpu *gpu, double full_mib_per_s); /* over a link, since the scenario began */
double temperature_c(const Gpu *gpu);
uint64_t ecc_errors(const Gpu *gpu, bool uncorrected);

/* ---- What every call does first (fakenvml.c) -------------------------------------------------------- */

#define RETURN_IF_ERROR(call)                                                                                \
    do {                                                                                                     \
        nvmlReturn_t code_ = (call);                                                                         \
        if (code_ != SUCCESS)                                                                                \
            return code_;                                                                                    \
    } while (0)

extern pthread_mutex_t lock; /* of the references and of `delivered`; never held while sleeping */
extern atomic_int references;

double delay_s(const char *symbol, const Gpu *gpu);
nvmlReturn_t apply_rules(const char *symbol, const Gpu *gpu);
nvmlReturn_t begin_library_call(const char *symbol, const void *answer);
nvmlReturn_t begin(const char *symbol, const Device *device, const void *answer);
nvmlReturn_t begin_whole(const char *symbol, const Device *device, const void *answer);
nvmlReturn_t begin_utilisation(const char *symbol, const Device *device, const void *answer);
nvmlReturn_t give_text(char *out, unsigned room, const char *text);

/* Most calls give one value; `device` may stand in the expression. */
#define READING(symbol, begin_call, type, expression)                                                        \
    EXPORT nvmlReturn_t symbol(Device *device, type *answer) {                                               \
        RETURN_IF_ERROR(begin_call(__func__, device, answer));                                               \
        *answer = (type)(expression);                                                                        \
        return SUCCESS;                                                                                      \
    }

#endif
