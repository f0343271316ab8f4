/* What every call does first, and the calls of the library as a whole: lifecycle, system, which GPUs. */
#include "fakenvml.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
atomic_int references;
static atomic_ulong calls;

/* ---- What every call does first --------------------------------------------------------------------- */

/* A rule for every call ("*") means the calls on a device; calls of the whole library are hit by name. */
static bool hits(const Line *rule, const char *symbol, const Gpu *gpu, double t) {
    bool named = strncmp(symbol, rule->fn, strlen(rule->fn)) == 0;
    if (rule->field >= 0 || t < rule->at || t >= rule->until)
        return false;
    if (!gpu)
        return named && rule->gpus == all_gpus();
    return concerns(rule->gpus, gpu) && (named || strcmp(rule->fn, "*") == 0);
}

double delay_s(const char *symbol, const Gpu *gpu) {
    double sum_us = 0, t = now();
    for (int i = 0; i < scenario.line_count; i++)
        if (scenario.lines[i].directive == LATENCY && hits(&scenario.lines[i], symbol, gpu, t))
            sum_us += scenario.lines[i].us;
    return sum_us / 1e6;
}

/* Counts the call, sleeps as slow drivers do, and returns the first fault that hits. */
nvmlReturn_t apply_rules(const char *symbol, const Gpu *gpu) {
    calls++;
    double delay = delay_s(symbol, gpu);
    if (delay > 0)
        sleep_for(delay);
    double t = now();
    for (int i = 0; i < scenario.line_count; i++)
        if (scenario.lines[i].directive == FAULT && hits(&scenario.lines[i], symbol, gpu, t))
            return (nvmlReturn_t)scenario.lines[i].code;
    return SUCCESS;
}

nvmlReturn_t begin_library_call(const char *symbol, const void *answer) {
    if (!references)
        return UNINITIALIZED;
    return answer ? apply_rules(symbol, NULL) : INVALID_ARGUMENT;
}

static bool is_handle(const Device *device) {
    for (int i = 0; i < scenario.gpu_count; i++) {
        const Gpu *gpu = &scenario.gpus[i];
        if (device == &gpu->whole || (device >= gpu->slice && device < gpu->slice + gpu->slices))
            return gpu->visible_index >= 0;
    }
    return false;
}

nvmlReturn_t begin(const char *symbol, const Device *device, const void *answer) {
    if (!references)
        return UNINITIALIZED;
    return is_handle(device) && answer ? apply_rules(symbol, device->gpu) : INVALID_ARGUMENT;
}

/* For what a MIG slice has not. */
nvmlReturn_t begin_whole(const char *symbol, const Device *device, const void *answer) {
    RETURN_IF_ERROR(begin(symbol, device, answer));
    return device->slice == WHOLE ? SUCCESS : NOT_SUPPORTED;
}

/* "On MIG-enabled GPUs, querying device utilization rates is not currently supported" (nvml.h). */
nvmlReturn_t begin_utilisation(const char *symbol, const Device *device, const void *answer) {
    RETURN_IF_ERROR(begin_whole(symbol, device, answer));
    return device->gpu->slices ? NOT_SUPPORTED : SUCCESS;
}

nvmlReturn_t give_text(char *out, unsigned room, const char *text) {
    if (strlen(text) >= room)
        return INSUFFICIENT_SIZE;
    strcpy(out, text);
    return SUCCESS;
}

/* ---- Lifecycle -------------------------------------------------------------------------------------- */

static bool acquire(void) {
    pthread_mutex_lock(&lock);
    bool good = references > 0 || load_scenario();
    if (good)
        references++;
    pthread_mutex_unlock(&lock);
    return good;
}

static bool release(void) {
    pthread_mutex_lock(&lock);
    bool last = --references == 0;
    pthread_mutex_unlock(&lock);
    return last;
}

static nvmlReturn_t initialise(const char *symbol) {
    if (!acquire())
        return UNKNOWN;
    epoch(); /* the scenario begins now, unless it has begun */
    nvmlReturn_t code = apply_rules(symbol, NULL);
    if (code)
        release();
    return code;
}

EXPORT nvmlReturn_t nvmlInit_v2(void) {
    return initialise(__func__);
}

EXPORT nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    return initialise(__func__);
}

EXPORT nvmlReturn_t nvmlShutdown(void) {
    if (!references)
        return UNINITIALIZED;
    const char *path = getenv("FAKE_NVML_LOG");
    FILE *log = release() && path ? fopen(path, "a") : NULL;
    if (log) {
        fprintf(log, "%d %lu\n", (int)getpid(), (unsigned long)calls);
        fclose(log);
    }
    return SUCCESS;
}

EXPORT const char *nvmlErrorString(nvmlReturn_t code) {
    static const char *const texts[] = {"Success", "Uninitialized", "Invalid Argument", "Not Supported",
        "Insufficient Permissions", "Already Initialized", "Not Found", "Insufficient Size",
        "Insufficient External Power", "Driver Not Loaded", "Timeout", "Interrupt Request Issue",
        "NVML Shared Library Not Found", "Function Not Found", "Corrupted infoROM", "GPU is lost",
        "GPU requires reset", "The operating system has blocked the request",
        "Driver/library version mismatch", "In use by another client", "Insufficient Memory", "No data",
        "ECC is not supported on vGPU", "Insufficient resources", "Frequency not supported",
        "Argument version mismatch"};
    return code >= 0 && (size_t)code < LENGTH(texts) ? texts[code] : "Unknown Error";
}

/* ---- The system ------------------------------------------------------------------------------------- */

EXPORT nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned room) {
    RETURN_IF_ERROR(begin_library_call(__func__, version));
    return give_text(version, room, scenario.driver);
}

EXPORT nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned room) {
    char text[sizeof(Text) + 16];
    RETURN_IF_ERROR(begin_library_call(__func__, version));
    snprintf(text, sizeof text, "%u.%s", scenario.cuda / 1000, scenario.driver);
    return give_text(version, room, text);
}

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
    RETURN_IF_ERROR(begin_library_call(__func__, version));
    *version = (int)scenario.cuda;
    return SUCCESS;
}

EXPORT nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version) {
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

EXPORT nvmlReturn_t nvmlSystemGetProcessName(unsigned pid, char *name, unsigned room) {
    RETURN_IF_ERROR(begin_library_call(__func__, name));
    for (int i = 0; i < scenario.line_count; i++)
        if (scenario.lines[i].directive == PROC && scenario.lines[i].pid == pid)
            return give_text(name, room, scenario.lines[i].name);
    return NOT_FOUND;
}

/* ---- Which GPUs there are --------------------------------------------------------------------------- */

EXPORT nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
    RETURN_IF_ERROR(begin_library_call(__func__, count));
    *count = 0;
    for (int i = 0; i < scenario.gpu_count; i++)
        *count += scenario.gpus[i].visible_index >= 0;
    return SUCCESS;
}

/* A lost GPU cannot even be opened. */
static nvmlReturn_t open_device(const char *symbol, Device *found, Device **handle) {
    if (!found || found->gpu->visible_index < 0)
        return NOT_FOUND;
    RETURN_IF_ERROR(apply_rules(symbol, found->gpu));
    *handle = found;
    return SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **handle) {
    if (!references)
        return UNINITIALIZED;
    for (int i = 0; handle && i < scenario.gpu_count; i++)
        if (scenario.gpus[i].visible_index == (int)index)
            return open_device(__func__, &scenario.gpus[i].whole, handle);
    return INVALID_ARGUMENT;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, Device **handle) {
    if (!references)
        return UNINITIALIZED;
    if (!uuid || !handle)
        return INVALID_ARGUMENT;
    Device *found = NULL;
    for (int i = 0; i < scenario.gpu_count; i++) {
        Gpu *gpu = &scenario.gpus[i];
        if (strcmp(uuid, gpu->whole.uuid) == 0)
            found = &gpu->whole;
        for (unsigned s = 0; s < gpu->slices; s++)
            if (strcmp(uuid, gpu->slice[s].uuid) == 0)
                found = &gpu->slice[s];
    }
    return open_device(__func__, found, handle);
}

typedef struct {
    char legacy_id[16];
    unsigned domain, bus, device, pci_device, pci_subsystem;
    char bus_id[32];
} PciInfo;
_Static_assert(sizeof(PciInfo) == 68, "nvmlPciInfo_t");

static unsigned pci_bus(const Gpu *gpu) {
    return 0x10u + 7u * (unsigned)gpu->index;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, Device **handle) {
    if (!references)
        return UNINITIALIZED;
    unsigned domain, bus, slot;
    if (!handle || !bus_id || sscanf(bus_id, "%x:%x:%x", &domain, &bus, &slot) != 3)
        return INVALID_ARGUMENT;
    Device *found = NULL;
    for (int i = 0; i < scenario.gpu_count; i++)
        if (domain == 0 && slot == 0 && bus == pci_bus(&scenario.gpus[i]))
            found = &scenario.gpus[i].whole;
    return open_device(__func__, found, handle);
}

EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v3(Device *device, PciInfo *info) {
    RETURN_IF_ERROR(begin(__func__, device, info));
    unsigned bus = pci_bus(device->gpu);
    *info = (PciInfo){.bus = bus, .pci_device = 0x233010deu, .pci_subsystem = 0x16c110deu};
    snprintf(info->legacy_id, sizeof info->legacy_id, "0000:%02X:00.0", bus);
    snprintf(info->bus_id, sizeof info->bus_id, "00000000:%02X:00.0", bus);
    return SUCCESS;
}

READING(nvmlDeviceGetIndex, begin, unsigned, device->slice == WHOLE ? device->gpu->visible_index : device->slice)
READING(nvmlDeviceGetMinorNumber, begin, unsigned, device->gpu->index)

EXPORT nvmlReturn_t nvmlDeviceGetName(Device *device, char *name, unsigned room) {
    char text[sizeof(Text) + 32] = "", slice[32] = "";
    RETURN_IF_ERROR(begin(__func__, device, name));
    if (device->slice != WHOLE) /* as "1g.10gb" of a GPU of 80 GB */
        snprintf(slice, sizeof slice, " MIG 1g.%ldgb", lround(device->gpu->memory_bytes / 8 / (1024 * MIB)));
    snprintf(text, sizeof text, "%s%s", device->gpu->name, slice);
    return give_text(name, room, text);
}

EXPORT nvmlReturn_t nvmlDeviceGetUUID(Device *device, char *uuid, unsigned room) {
    RETURN_IF_ERROR(begin(__func__, device, uuid));
    return give_text(uuid, room, device->uuid);
}

EXPORT nvmlReturn_t nvmlDeviceGetSerial(Device *device, char *serial, unsigned room) {
    char text[32];
    RETURN_IF_ERROR(begin(__func__, device, serial));
    snprintf(text, sizeof text, "16500000000%02d", device->gpu->index);
    return give_text(serial, room, text);
}

EXPORT nvmlReturn_t nvmlDeviceGetCudaComputeCapability(Device *device, int *major, int *minor) {
    RETURN_IF_ERROR(begin(__func__, device, minor ? major : NULL));
    *major = device->gpu->cc_major;
    *minor = device->gpu->cc_minor;
    return SUCCESS;
}

/* NVML's numbers: Kepler 2, Maxwell 3, Pascal 4, Volta 5, Turing 6, Ampere 7, Ada 8, Hopper 9, Blackwell 10. */
static unsigned architecture(const Gpu *gpu) {
    static const unsigned of_major[] = {[3] = 2, [5] = 3, [6] = 4, [7] = 5, [8] = 7, [9] = 9};
    if (gpu->cc_major >= 10)
        return 10;
    bool second = (gpu->cc_major == 7 && gpu->cc_minor == 5) || (gpu->cc_major == 8 && gpu->cc_minor == 9);
    return of_major[gpu->cc_major] + second; /* Turing is 7.5 and Ada is 8.9 */
}

READING(nvmlDeviceGetArchitecture, begin, unsigned, architecture(device->gpu))
READING(nvmlDeviceGetNumGpuCores, begin_whole, unsigned, 16896)
READING(nvmlDeviceGetMemoryBusWidth, begin_whole, unsigned, 5120)
