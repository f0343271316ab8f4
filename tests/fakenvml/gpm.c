/* GPM: metrics of the hardware between two samples, Hopper and later. */
#include "fakenvml.h"
#include <stdlib.h>

#define VERSION 1u
#define MAX_METRICS 477u

typedef struct { const char *short_name, *long_name, *unit; } MetricInfo;
typedef struct { unsigned id; nvmlReturn_t code; double value; MetricInfo info; } Metric;
typedef struct { unsigned version, supported; } Support;
typedef struct { Gpu *gpu; int slice; double t; } GpmSample;
typedef struct { unsigned version, count; GpmSample *first, *second; Metric metrics[MAX_METRICS]; } MetricsGet;
_Static_assert(sizeof(Metric) == 40, "nvmlGpmMetric_t");
_Static_assert(sizeof(Support) == 8, "nvmlGpmSupport_t");
_Static_assert(sizeof(MetricsGet) == 19104, "nvmlGpmMetricsGet_t");

/* Fixed shares of the utilisation. */
static const struct { unsigned id; double at_full; MetricInfo info; } known[] = {
    {2, 82, {"sm_util", "SM utilisation", "%"}},
    {3, 34, {"sm_occupancy", "SM occupancy", "%"}},
    {5, 41, {"any_tensor_util", "Tensor core utilisation", "%"}},
    {10, 45, {"dram_bw_util", "DRAM bandwidth utilisation", "%"}},
    {12, 8, {"fp32_util", "FP32 utilisation", "%"}},
    {20, PCIE_MIB_PER_S, {"pcie_tx_per_sec", "PCIe sent", "MiB/s"}},
    {21, PCIE_MIB_PER_S, {"pcie_rx_per_sec", "PCIe received", "MiB/s"}},
    {60, NVLINK_MIB_PER_S, {"nvlink_total_rx_per_sec", "NVLink received", "MiB/s"}},
    {61, NVLINK_MIB_PER_S, {"nvlink_total_tx_per_sec", "NVLink sent", "MiB/s"}},
};

static bool has_gpm(const Gpu *gpu) {
    return gpu->cc_major >= 9;
}

EXPORT nvmlReturn_t nvmlGpmQueryDeviceSupport(Device *device, Support *support) {
    RETURN_IF_ERROR(begin(__func__, device, support));
    support->supported = has_gpm(device->gpu);
    return support->version == VERSION ? SUCCESS : VERSION_MISMATCH;
}

EXPORT nvmlReturn_t nvmlGpmSampleAlloc(GpmSample **sample) {
    RETURN_IF_ERROR(begin_library_call(__func__, sample));
    *sample = calloc(1, sizeof **sample);
    return *sample ? SUCCESS : OUT_OF_MEMORY;
}

EXPORT nvmlReturn_t nvmlGpmSampleFree(GpmSample *sample) {
    RETURN_IF_ERROR(begin_library_call(__func__, sample));
    free(sample);
    return SUCCESS;
}

EXPORT nvmlReturn_t nvmlGpmSampleGet(Device *device, GpmSample *sample) {
    RETURN_IF_ERROR(begin_whole(__func__, device, sample));
    if (!has_gpm(device->gpu))
        return NOT_SUPPORTED;
    *sample = (GpmSample){device->gpu, WHOLE, now()};
    return SUCCESS;
}

/* Of a slice, asked of its parent: the only utilisation that NVML has for MIG. */
EXPORT nvmlReturn_t nvmlGpmMigSampleGet(Device *device, unsigned gpu_instance, GpmSample *sample) {
    RETURN_IF_ERROR(begin_whole(__func__, device, sample));
    if (!has_gpm(device->gpu) || !device->gpu->slices)
        return NOT_SUPPORTED;
    if (gpu_instance < 1 || gpu_instance > device->gpu->slices)
        return INVALID_ARGUMENT;
    *sample = (GpmSample){device->gpu, (int)gpu_instance - 1, now()};
    return SUCCESS;
}

static void give_metric(Metric *metric, double busy_percent) {
    metric->code = NOT_SUPPORTED;
    for (size_t i = 0; i < LENGTH(known); i++)
        if (known[i].id == metric->id) {
            metric->code = SUCCESS;
            metric->value = known[i].at_full * busy_percent / 100;
            metric->info = known[i].info;
        }
}

EXPORT nvmlReturn_t nvmlGpmMetricsGet(MetricsGet *request) {
    if (!references)
        return UNINITIALIZED;
    if (!request || !request->first || !request->second || !request->first->gpu || request->count > MAX_METRICS)
        return INVALID_ARGUMENT;
    const GpmSample first = *request->first, second = *request->second;
    RETURN_IF_ERROR(apply_rules(__func__, first.gpu));
    if (request->version != VERSION)
        return VERSION_MISMATCH;
    if (first.gpu != second.gpu || first.slice != second.slice || first.t > second.t)
        return INVALID_ARGUMENT;
    double busy_percent = mean(first.gpu, utilisation, 0, first.t, second.t);
    for (unsigned i = 0; i < request->count; i++)
        give_metric(&request->metrics[i], busy_percent);
    return SUCCESS;
}
