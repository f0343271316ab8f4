/* XID and memory errors, told to who waits for them. */
#include "fakenvml.h"
#include <limits.h>
#include <stdlib.h>

#define POLL_S 0.005
#define NO_INSTANCE 0xffffffffu

enum { EVENT_ECC_CORRECTED = 1, EVENT_ECC_UNCORRECTED = 2, EVENT_XID = 8 };
#define EVERY_EVENT (EVENT_ECC_CORRECTED | EVENT_ECC_UNCORRECTED | EVENT_XID)

typedef struct { uint64_t types[MAX_GPUS]; } EventSet;
typedef struct {
    Device *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
} EventData;
_Static_assert(sizeof(EventData) == 32, "nvmlEventData_t");

EXPORT nvmlReturn_t nvmlEventSetCreate(EventSet **set) {
    RETURN_IF_ERROR(begin_library_call(__func__, set));
    *set = calloc(1, sizeof **set);
    return *set ? SUCCESS : OUT_OF_MEMORY;
}

EXPORT nvmlReturn_t nvmlEventSetFree(EventSet *set) {
    RETURN_IF_ERROR(begin_library_call(__func__, set));
    free(set);
    return SUCCESS;
}

READING(nvmlDeviceGetSupportedEventTypes, begin_whole, unsigned long long, EVERY_EVENT)

EXPORT nvmlReturn_t nvmlDeviceRegisterEvents(Device *device, unsigned long long types, EventSet *set) {
    RETURN_IF_ERROR(begin_whole(__func__, device, set));
    if (types & ~(unsigned long long)EVERY_EVENT)
        return NOT_SUPPORTED;
    pthread_mutex_lock(&lock);
    set->types[device->gpu->index] |= types;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

static uint64_t event_type(const Line *line) {
    if (line->directive == XID)
        return EVENT_XID;
    return *line->kind == 'u' ? EVENT_ECC_UNCORRECTED : EVENT_ECC_CORRECTED;
}

static bool take_event_of(Line *line, const EventSet *set, Gpu *gpu, EventData *data) {
    uint32_t bit = 1u << gpu->index;
    if (line->delivered & bit || !(set->types[gpu->index] & event_type(line)))
        return false;
    line->delivered |= bit;
    uint64_t value = line->directive == XID ? line->code : line->count;
    *data = (EventData){&gpu->whole, event_type(line), value, NO_INSTANCE, NO_INSTANCE};
    return true;
}

/* The first event that is due, wanted by the set and not yet given to anyone. */
static bool take_event(const EventSet *set, EventData *data) {
    bool taken = false;
    double t = now();
    pthread_mutex_lock(&lock);
    for (int i = 0; i < scenario.gpu_count; i++)
        for (Directive directive = XID; directive <= ECC; directive++)
            for (Line *line = NULL; !taken && (line = next_line(line, directive, &scenario.gpus[i], t));)
                taken = take_event_of(line, set, &scenario.gpus[i], data);
    pthread_mutex_unlock(&lock);
    return taken;
}

/* The timeout is of real time, even when the scenario's clock is pinned or scaled. */
EXPORT nvmlReturn_t nvmlEventSetWait_v2(EventSet *set, EventData *data, unsigned timeout_ms) {
    RETURN_IF_ERROR(begin_library_call(__func__, set ? data : NULL));
    double deadline = timeout_ms == UINT_MAX ? INFINITY : real_seconds() + timeout_ms / 1000.0;
    while (references) {
        if (take_event(set, data))
            return SUCCESS;
        double rest = deadline - real_seconds();
        if (rest <= 0)
            return TIMEOUT;
        sleep_for(fmin(POLL_S, rest));
    }
    return UNINITIALIZED;
}
