/* What a device reads at the moment: utilisation, memory, power, temperature, clocks, links, errors. */
#include "fakenvml.h"

#define RATES_WINDOW_S 0.2
#define PCIE_WINDOW_S 0.02
#define POWER_RING_DEPTH 120
#define RESERVED_BYTES (600 * MIB)
#define ALL_LINKS 0xffffffffu

enum { VALUE_UINT = 1, VALUE_U64 = 3 };
typedef union { double d; unsigned u; unsigned long long ull; } Value;

/* ---- Utilisation ------------------------------------------------------------------------------------ */

typedef struct { unsigned gpu, memory; } Utilization;
_Static_assert(sizeof(Utilization) == 8, "nvmlUtilization_t");

EXPORT nvmlReturn_t nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates) {
    RETURN_IF_ERROR(begin_utilisation(__func__, device, rates));
    double busy = recent(device->gpu, utilisation, RATES_WINDOW_S);
    *rates = (Utilization){(unsigned)lround(busy), (unsigned)lround(MEMORY_ACTIVITY * busy)};
    return SUCCESS;
}

/* The video engines rest while the GPU computes. */
#define ENGINE_READING(symbol)                                                                               \
    EXPORT nvmlReturn_t symbol(Device *device, unsigned *percent, unsigned *period_us) {                     \
        RETURN_IF_ERROR(begin_utilisation(__func__, device, period_us ? percent : NULL));                    \
        *percent = 0;                                                                                        \
        *period_us = 167000;                                                                                 \
        return SUCCESS;                                                                                      \
    }
ENGINE_READING(nvmlDeviceGetEncoderUtilization)
ENGINE_READING(nvmlDeviceGetDecoderUtilization)
ENGINE_READING(nvmlDeviceGetJpgUtilization)
ENGINE_READING(nvmlDeviceGetOfaUtilization)

/* The driver's buffer of past samples; sample k covers the period that ends at k periods. */
typedef struct { unsigned depth; double period_s; Quantity *quantity; double factor; } Ring;
typedef struct { unsigned long long timestamp_us; Value value; } Sample;
_Static_assert(sizeof(Sample) == 16, "nvmlSample_t");
enum { SAMPLE_POWER = 0, SAMPLE_GPU_UTIL = 1, SAMPLE_MEMORY_UTIL = 2 };

static Ring ring_of(const Gpu *gpu, unsigned type) {
    switch (type) {
    case SAMPLE_POWER:
        return (Ring){POWER_RING_DEPTH, POWER_RING_PERIOD_S, power_w, 1000};
    case SAMPLE_GPU_UTIL:
        return (Ring){gpu->ring_depth, gpu->ring_period_s, utilisation, gpu->ring_scale};
    case SAMPLE_MEMORY_UTIL:
        return (Ring){gpu->ring_depth, gpu->ring_period_s, utilisation, MEMORY_ACTIVITY * gpu->ring_scale};
    default:
        return (Ring){0};
    }
}

static nvmlReturn_t drain(const Gpu *gpu, Ring ring, unsigned long long last_seen_us, unsigned *count,
    Sample *samples) {
    long long newest = (long long)floor(now() / ring.period_s + 1e-6), oldest = newest - ring.depth + 1;
    unsigned filled = 0;
    for (long long k = oldest < 1 ? 1 : oldest; k <= newest; k++) {
        double end = (double)k * ring.period_s;
        if (timestamp_us(end) <= last_seen_us)
            continue;
        if (filled == *count)
            return INSUFFICIENT_SIZE;
        double level = mean(gpu, ring.quantity, 0, end - ring.period_s, end);
        samples[filled++] = (Sample){timestamp_us(end), {.ull = (unsigned long long)llround(ring.factor * level)}};
    }
    *count = filled;
    return filled ? SUCCESS : NOT_FOUND;
}

/* Asked without a buffer, it says how many samples there can be. */
EXPORT nvmlReturn_t nvmlDeviceGetSamples(Device *device, unsigned type, unsigned long long last_seen_us,
    unsigned *value_type, unsigned *count, Sample *samples) {
    if (type == SAMPLE_POWER)
        RETURN_IF_ERROR(begin_whole(__func__, device, value_type ? count : NULL));
    else
        RETURN_IF_ERROR(begin_utilisation(__func__, device, value_type ? count : NULL));
    Ring ring = ring_of(device->gpu, type);
    if (!ring.depth)
        return NOT_SUPPORTED;
    *value_type = VALUE_UINT;
    if (samples)
        return drain(device->gpu, ring, last_seen_us, count, samples);
    *count = ring.depth;
    return SUCCESS;
}

/* ---- Memory ----------------------------------------------------------------------------------------- */

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } MemoryV2;
#define MEMORY_V2 0x02000028u
_Static_assert(sizeof(Memory) == 24, "nvmlMemory_t");
_Static_assert(sizeof(MemoryV2) == 40, "nvmlMemory_v2_t");

static MemoryV2 memory_of(const Device *device) {
    Moment moment = moment_at(device->gpu, now());
    double share = moment.wave && moment.wave->mem_used >= 0 ? moment.wave->mem_used : device->gpu->mem_used;
    double parts = device->slice == WHOLE ? 1 : MAX_SLICES, total = floor(device->gpu->memory_bytes / parts);
    double reserved = fmin(total, floor(RESERVED_BYTES / parts));
    double used = fmin(floor(total * share), total - reserved), free = total - reserved - used;
    return (MemoryV2){MEMORY_V2, (uint64_t)total, (uint64_t)reserved, (uint64_t)free, (uint64_t)used};
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    RETURN_IF_ERROR(begin(__func__, device, memory));
    MemoryV2 parts = memory_of(device);
    *memory = (Memory){parts.total, parts.free, parts.used + parts.reserved};
    return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(Device *device, MemoryV2 *memory) {
    RETURN_IF_ERROR(begin(__func__, device, memory));
    if (memory->version != MEMORY_V2)
        return VERSION_MISMATCH;
    *memory = memory_of(device);
    return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(Device *device, Memory *memory) {
    const unsigned long long total = 128ull << 30, used = 2ull << 20;
    RETURN_IF_ERROR(begin(__func__, device, memory));
    *memory = (Memory){total, total - used, used};
    return SUCCESS;
}

/* ---- Power and energy ------------------------------------------------------------------------------- */

READING(nvmlDeviceGetPowerUsage, begin_whole, unsigned, lround(1000 * recent(device->gpu, power_w, POWER_WINDOW_S)))
READING(nvmlDeviceGetPowerManagementLimit, begin_whole, unsigned, lround(1000 * device->gpu->limit_w))
READING(nvmlDeviceGetEnforcedPowerLimit, begin_whole, unsigned, lround(1000 * device->gpu->limit_w))

EXPORT nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(Device *device, unsigned *low, unsigned *high) {
    RETURN_IF_ERROR(begin_whole(__func__, device, high ? low : NULL));
    *low = (unsigned)lround(1000 * fmin(200, device->gpu->limit_w));
    *high = (unsigned)lround(1000 * device->gpu->limit_w);
    return SUCCESS;
}

/* Volta and later. */
static bool counts_energy(const Gpu *gpu) {
    return gpu->cc_major >= 7;
}

EXPORT nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(Device *device, unsigned long long *millijoules) {
    RETURN_IF_ERROR(begin_whole(__func__, device, millijoules));
    *millijoules = (unsigned long long)llround(energy_mj(device->gpu));
    return counts_energy(device->gpu) ? SUCCESS : NOT_SUPPORTED;
}

/* ---- Temperature and clocks ------------------------------------------------------------------------- */

typedef struct { unsigned version, sensor; int celsius; } TemperatureV1;
#define TEMPERATURE_V1 0x0100000cu
_Static_assert(sizeof(TemperatureV1) == 12, "nvmlTemperature_v1_t");

EXPORT nvmlReturn_t nvmlDeviceGetTemperature(Device *device, unsigned sensor, unsigned *celsius) {
    RETURN_IF_ERROR(begin_whole(__func__, device, celsius));
    *celsius = (unsigned)lround(temperature_c(device->gpu));
    return sensor == 0 ? SUCCESS : INVALID_ARGUMENT;
}

EXPORT nvmlReturn_t nvmlDeviceGetTemperatureV(Device *device, TemperatureV1 *temperature) {
    RETURN_IF_ERROR(begin_whole(__func__, device, temperature));
    if (temperature->version != TEMPERATURE_V1)
        return VERSION_MISMATCH;
    temperature->celsius = (int)lround(temperature_c(device->gpu));
    return temperature->sensor == 0 ? SUCCESS : INVALID_ARGUMENT;
}

EXPORT nvmlReturn_t nvmlDeviceGetTemperatureThreshold(Device *device, unsigned threshold, unsigned *celsius) {
    static const unsigned limits[] = {92, 89, 95, 87}; /* shutdown, slowdown, memory, GPU */
    RETURN_IF_ERROR(begin_whole(__func__, device, celsius));
    if (threshold >= LENGTH(limits))
        return NOT_SUPPORTED;
    *celsius = limits[threshold];
    return SUCCESS;
}

/* Passively cooled, as in a data centre. */
EXPORT nvmlReturn_t nvmlDeviceGetFanSpeed(Device *device, unsigned *percent) {
    RETURN_IF_ERROR(begin_whole(__func__, device, percent));
    return NOT_SUPPORTED;
}

static const unsigned max_clocks_mhz[] = {1980, 1980, 2619, 1545}; /* graphics, SM, memory, video */
enum { CLOCK_OF_MEMORY = 2 };

EXPORT nvmlReturn_t nvmlDeviceGetMaxClockInfo(Device *device, unsigned clock, unsigned *mhz) {
    RETURN_IF_ERROR(begin_whole(__func__, device, mhz));
    if (clock >= LENGTH(max_clocks_mhz))
        return INVALID_ARGUMENT;
    *mhz = max_clocks_mhz[clock];
    return SUCCESS;
}

static uint64_t current_reasons(const Gpu *gpu) {
    Moment moment = moment_at(gpu, now());
    return clock_reasons(&moment);
}

/* An idle GPU rests at 345 MHz, a throttled one runs at three fifths; the memory's clock stays. */
EXPORT nvmlReturn_t nvmlDeviceGetClockInfo(Device *device, unsigned clock, unsigned *mhz) {
    RETURN_IF_ERROR(begin_whole(__func__, device, mhz));
    if (clock >= LENGTH(max_clocks_mhz))
        return INVALID_ARGUMENT;
    uint64_t reasons = current_reasons(device->gpu);
    *mhz = max_clocks_mhz[clock];
    if (clock != CLOCK_OF_MEMORY && reasons & REASON_IDLE)
        *mhz = 345;
    else if (clock != CLOCK_OF_MEMORY && reasons & REASONS_SLOW)
        *mhz = *mhz * 3 / 5;
    return SUCCESS;
}

READING(nvmlDeviceGetCurrentClocksEventReasons, begin_whole, unsigned long long, current_reasons(device->gpu))
READING(nvmlDeviceGetCurrentClocksThrottleReasons, begin_whole, unsigned long long, current_reasons(device->gpu))
READING(nvmlDeviceGetPerformanceState, begin_whole, unsigned, 0)

/* ---- Modes ------------------------------------------------------------------------------------------ */

READING(nvmlDeviceGetPersistenceMode, begin_whole, unsigned, 1)
READING(nvmlDeviceGetComputeMode, begin_whole, unsigned, 0)
READING(nvmlDeviceGetDisplayMode, begin_whole, unsigned, 0)
READING(nvmlDeviceGetDisplayActive, begin_whole, unsigned, 0)

/* Windows only. */
#define NO_DRIVER_MODEL(symbol)                                                                              \
    EXPORT nvmlReturn_t symbol(Device *device, unsigned *current, unsigned *pending) {                       \
        RETURN_IF_ERROR(begin(__func__, device, pending ? current : NULL));                                  \
        return NOT_SUPPORTED;                                                                                \
    }
NO_DRIVER_MODEL(nvmlDeviceGetDriverModel)
NO_DRIVER_MODEL(nvmlDeviceGetDriverModel_v2)

/* ---- Links and errors ------------------------------------------------------------------------------- */

EXPORT nvmlReturn_t nvmlDeviceGetPcieThroughput(Device *device, unsigned direction, unsigned *kb_per_s) {
    RETURN_IF_ERROR(begin_whole(__func__, device, kb_per_s));
    *kb_per_s = (unsigned)lround(PCIE_MIB_PER_S * 1024 * recent(device->gpu, utilisation, PCIE_WINDOW_S) / 100);
    return direction <= 1 ? SUCCESS : INVALID_ARGUMENT;
}

EXPORT nvmlReturn_t nvmlDeviceGetTotalEccErrors(Device *device, unsigned uncorrected, unsigned counter,
    unsigned long long *count) {
    RETURN_IF_ERROR(begin_whole(__func__, device, count));
    *count = ecc_errors(device->gpu, uncorrected);
    return uncorrected <= 1 && counter <= 1 ? SUCCESS : INVALID_ARGUMENT;
}

/* All errors are those of the device memory. */
EXPORT nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(Device *device, unsigned uncorrected, unsigned counter,
    unsigned location, unsigned long long *count) {
    const unsigned device_memory = 2, locations = 8;
    RETURN_IF_ERROR(begin_whole(__func__, device, count));
    *count = location == device_memory ? ecc_errors(device->gpu, uncorrected) : 0;
    return uncorrected <= 1 && counter <= 1 && location < locations ? SUCCESS : INVALID_ARGUMENT;
}

/* ---- Batches of fields ------------------------------------------------------------------------------ */

typedef struct {
    unsigned id, scope;
    long long timestamp_us, latency_us;
    unsigned type;
    nvmlReturn_t code;
    Value value;
} FieldValue;
_Static_assert(sizeof(FieldValue) == 40, "nvmlFieldValue_t");

static nvmlReturn_t give_uint(FieldValue *field, double value) {
    field->type = VALUE_UINT;
    field->value.u = (unsigned)lround(value);
    return SUCCESS;
}

static nvmlReturn_t give_u64(FieldValue *field, double value) {
    field->type = VALUE_U64;
    field->value.ull = (unsigned long long)llround(value);
    return SUCCESS;
}

/* The scope of a link's counter is the link; all links together are a scope of their own. */
static nvmlReturn_t give_nvlink_kib(FieldValue *field, const Gpu *gpu) {
    if (field->scope != ALL_LINKS && field->scope >= NVLINKS)
        return INVALID_ARGUMENT;
    double kib = 1024 * transferred_mib(gpu, NVLINK_MIB_PER_S);
    return give_u64(field, field->scope == ALL_LINKS ? kib : kib / NVLINKS);
}

static nvmlReturn_t give_reason_ns(FieldValue *field, const Gpu *gpu, uint64_t mask) {
    return give_u64(field, 1e9 * integral(gpu, has_reason, mask, 0, now()));
}

static nvmlReturn_t read_field(FieldValue *field, const Gpu *gpu) {
    switch (field->id) {
    case 3: return give_u64(field, (double)ecc_errors(gpu, false));
    case 4: return give_u64(field, (double)ecc_errors(gpu, true));
    case 74: return give_reason_ns(field, gpu, REASON_SW_POWER_CAP);
    case 75: return give_reason_ns(field, gpu, REASON_SW_THERMAL | REASON_HW_THERMAL);
    case 76: return give_reason_ns(field, gpu, REASON_SYNC_BOOST);
    case 77: return give_u64(field, 0); /* board limit */
    case 78: return give_reason_ns(field, gpu, REASON_IDLE);
    case 79: return give_u64(field, 0); /* reliability */
    case 82: return give_uint(field, temperature_c(gpu) + 8); /* of the memory */
    case 83: return counts_energy(gpu) ? give_u64(field, energy_mj(gpu)) : NOT_SUPPORTED;
    case 91: return give_uint(field, NVLINKS);
    case 138: case 139: return give_nvlink_kib(field, gpu);
    case 161: case 162: case 163: return give_u64(field, 0); /* NVLink errors */
    case 185: return give_uint(field, 1000 * recent(gpu, power_w, POWER_WINDOW_S));
    case 186: return give_uint(field, 1000 * recent(gpu, power_w, POWER_RING_PERIOD_S));
    case 188: case 189: case 190: case 192: return give_uint(field, 1000 * gpu->limit_w);
    case 197: case 198: return give_u64(field, MIB * transferred_mib(gpu, PCIE_MIB_PER_S));
    case 230: return give_uint(field, 0); /* recovery action: none */
    case 269: return give_reason_ns(field, gpu, REASON_SW_THERMAL);
    case 270: return give_reason_ns(field, gpu, REASON_HW_THERMAL);
    case 271: return give_reason_ns(field, gpu, REASON_POWER_BRAKE);
    default: return NOT_SUPPORTED;
    }
}

static nvmlReturn_t field_fault(unsigned id, const Gpu *gpu, double t) {
    for (const Line *line = NULL; (line = next_line(line, FAULT, gpu, t));)
        if (line->field == (long)id)
            return (nvmlReturn_t)line->code;
    return SUCCESS;
}

/* One call, and a code for each field. */
EXPORT nvmlReturn_t nvmlDeviceGetFieldValues(Device *device, int count, FieldValue *fields) {
    RETURN_IF_ERROR(begin(__func__, device, fields));
    for (int i = 0; i < count; i++) {
        FieldValue *field = &fields[i];
        field->timestamp_us = (long long)timestamp_us(now());
        field->latency_us = llround(1e6 * delay_s(__func__, device->gpu));
        field->code = device->slice == WHOLE ? field_fault(field->id, device->gpu, now()) : NOT_SUPPORTED;
        if (field->code == SUCCESS)
            field->code = read_field(field, device->gpu);
    }
    return SUCCESS;
}
