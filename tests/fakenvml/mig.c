/* MIG slices, and the processes on a GPU or a slice. */
#include "fakenvml.h"

#define NO_INSTANCE 0xffffffffu
#define PROCESS_WINDOW_S 1.0

/* ---- MIG -------------------------------------------------------------------------------------------- */

static bool can_slice(const Gpu *gpu) {
    return gpu->cc_major >= 9 || (gpu->cc_major == 8 && gpu->cc_minor == 0);
}

EXPORT nvmlReturn_t nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
    RETURN_IF_ERROR(begin(__func__, device, pending ? current : NULL));
    *current = *pending = device->gpu->slices > 0;
    return can_slice(device->gpu) ? SUCCESS : NOT_SUPPORTED;
}

READING(nvmlDeviceGetMaxMigDeviceCount, begin_whole, unsigned, can_slice(device->gpu) ? MAX_SLICES : 0)
READING(nvmlDeviceIsMigDeviceHandle, begin, unsigned, device->slice != WHOLE)

EXPORT nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **handle) {
    RETURN_IF_ERROR(begin_whole(__func__, device, handle));
    if (!can_slice(device->gpu))
        return NOT_SUPPORTED;
    if (index >= device->gpu->slices)
        return NOT_FOUND;
    *handle = &device->gpu->slice[index];
    return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *device, Device **parent) {
    RETURN_IF_ERROR(begin(__func__, device, parent));
    *parent = &device->gpu->whole;
    return device->slice == WHOLE ? INVALID_ARGUMENT : SUCCESS;
}

/* Instance 0 is the whole GPU. */
EXPORT nvmlReturn_t nvmlDeviceGetGpuInstanceId(Device *device, unsigned *id) {
    RETURN_IF_ERROR(begin(__func__, device, id));
    *id = (unsigned)device->slice + 1;
    return device->slice == WHOLE ? NOT_SUPPORTED : SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetComputeInstanceId(Device *device, unsigned *id) {
    RETURN_IF_ERROR(begin(__func__, device, id));
    *id = 0;
    return device->slice == WHOLE ? NOT_SUPPORTED : SUCCESS;
}

/* ---- Processes -------------------------------------------------------------------------------------- */

typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } ProcessInfo;
typedef struct { unsigned pid; unsigned long long timestamp_us; unsigned sm, memory, encoder, decoder; } ProcessSample;
_Static_assert(sizeof(ProcessInfo) == 24, "nvmlProcessInfo_v2_t");
_Static_assert(sizeof(ProcessSample) == 32, "nvmlProcessUtilizationSample_t");

static ProcessInfo process_info(const Line *process, const Gpu *gpu) {
    unsigned long long memory = (unsigned long long)(process->mem_gib * 1024 * MIB);
    if (!gpu->slices)
        return (ProcessInfo){(unsigned)process->pid, memory, NO_INSTANCE, NO_INSTANCE};
    return (ProcessInfo){(unsigned)process->pid, memory, (unsigned)process->mig + 1, 0};
}

/* Fills what there is room for; the count is of all there are. */
static nvmlReturn_t list_processes(const Device *device, unsigned *count, ProcessInfo *infos) {
    unsigned found = 0, room = infos ? *count : 0;
    for (const Line *process = NULL; (process = next_line(process, PROC, device->gpu, now()));) {
        if (device->slice != WHOLE && (uint64_t)device->slice != process->mig)
            continue;
        if (found < room)
            infos[found] = process_info(process, device->gpu);
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

static nvmlReturn_t list_none(const Device *device, unsigned *count, ProcessInfo *infos) {
    (void)device, (void)infos;
    *count = 0;
    return SUCCESS;
}

#define PROCESS_LIST(symbol, list)                                                                           \
    EXPORT nvmlReturn_t symbol(Device *device, unsigned *count, ProcessInfo *infos) {                        \
        RETURN_IF_ERROR(begin(__func__, device, count));                                                     \
        return list(device, count, infos);                                                                   \
    }
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v2, list_processes)
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v3, list_processes)
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, list_none)
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, list_none)
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, list_none)

/* The processes of a GPU share its utilisation evenly. */
EXPORT nvmlReturn_t nvmlDeviceGetProcessUtilization(Device *device, ProcessSample *samples, unsigned *count,
    unsigned long long last_seen_us) {
    RETURN_IF_ERROR(begin_utilisation(__func__, device, count));
    ProcessInfo infos[MAX_LINES];
    unsigned found = MAX_LINES, room = samples ? *count : 0;
    unsigned long long time_us = timestamp_us(now());
    list_processes(device, &found, infos);
    if (!found || time_us <= last_seen_us)
        return NOT_FOUND;
    *count = found;
    if (room < found)
        return INSUFFICIENT_SIZE;
    double share = recent(device->gpu, utilisation, PROCESS_WINDOW_S) / found;
    for (unsigned i = 0; i < found; i++)
        samples[i] = (ProcessSample){
            infos[i].pid, time_us, (unsigned)lround(share), (unsigned)lround(MEMORY_ACTIVITY * share), 0, 0};
    return SUCCESS;
}
