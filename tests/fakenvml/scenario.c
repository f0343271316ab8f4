/* Reading the scenario: lines of a directive and key=value words. */
#include "fakenvml.h"
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Scenario scenario;

static struct { const char *source; int line; } place; /* of the text being read, for messages */

__attribute__((format(printf, 1, 2))) static bool complain(const char *format, ...) {
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (place.line)
        fprintf(stderr, "fake NVML: %s:%d: %s\n", place.source, place.line, message);
    else
        fprintf(stderr, "fake NVML: %s: %s\n", place.source, message);
    return false;
}

/* ---- Directives, their keys and defaults ------------------------------------------------------------ */

static const struct { const char *name; Line defaults; } directives[] = {
    [GPU] = {"gpu", {.count = 1, .name = "NVIDIA H100 80GB HBM3", .cc = 9.0, .mem_gib = 79.65, .power_w = 700,
        .mem_used = 0.55, .ring = 100, .ring_ms = 1000.0 / 6, .ring_scale = 1}},
    [DRIVER] = {"driver", {.name = "570.86.15", .cuda = 12080}},
    [CLOCK] = {"clock", {.scale = 1}},
    [WAVE] = {"wave", {.kind = "const", .period = 10, .duty = 0.5, .hi = 90, .mem_used = -1}},
    [FAULT] = {"fault", {.fn = "*", .code = NOT_SUPPORTED}},
    [LATENCY] = {"latency", {.fn = "*"}},
    [REASONS] = {"reasons", {.mask = 0}},
    [XID] = {"xid", {.code = 79}},
    [ECC] = {"ecc", {.kind = "uncorrected", .count = 1}},
    [PROC] = {"proc", {.name = "python", .mem_gib = 1}},
    [MIG] = {"mig", {.count = 2}},
};

typedef enum { NUMBER, INTEGER, TEXT, GPUS, PID } ValueKind;

#define ON(directive) (1u << (directive))
#define RULES (ON(FAULT) | ON(LATENCY))
#define TIMED (ON(WAVE) | RULES | ON(REASONS) | ON(PROC))
#define NAMES_GPUS (TIMED | ON(XID) | ON(ECC) | ON(MIG))
#define KEY(key, kind, directives) {#key, kind, offsetof(Line, key), directives}

static const struct { const char *name; ValueKind kind; size_t offset; unsigned directives; } keys[] = {
    {"gpu", GPUS, offsetof(Line, gpus), NAMES_GPUS},
    KEY(at, NUMBER, TIMED | ON(XID) | ON(ECC)),
    KEY(until, NUMBER, TIMED),
    KEY(count, INTEGER, ON(GPU) | ON(ECC) | ON(MIG)),
    KEY(name, TEXT, ON(GPU) | ON(PROC)),
    KEY(cc, NUMBER, ON(GPU)),
    KEY(mem_gib, NUMBER, ON(GPU) | ON(PROC)),
    KEY(power_w, NUMBER, ON(GPU)),
    KEY(mem_used, NUMBER, ON(GPU) | ON(WAVE)),
    KEY(ring, INTEGER, ON(GPU)),
    KEY(ring_ms, NUMBER, ON(GPU)),
    KEY(ring_scale, NUMBER, ON(GPU)),
    {"version", TEXT, offsetof(Line, name), ON(DRIVER)},
    KEY(cuda, INTEGER, ON(DRIVER)),
    KEY(scale, NUMBER, ON(CLOCK)),
    KEY(kind, TEXT, ON(WAVE) | ON(ECC)),
    KEY(period, NUMBER, ON(WAVE)),
    KEY(duty, NUMBER, ON(WAVE)),
    KEY(hi, NUMBER, ON(WAVE)),
    KEY(lo, NUMBER, ON(WAVE)),
    KEY(phase, NUMBER, ON(WAVE)),
    KEY(watts, NUMBER, ON(WAVE)),
    KEY(csv, TEXT, ON(WAVE)),
    KEY(fn, TEXT, RULES),
    KEY(code, INTEGER, ON(FAULT) | ON(XID)),
    KEY(us, NUMBER, ON(LATENCY)),
    KEY(mask, INTEGER, ON(REASONS)),
    KEY(pid, PID, ON(PROC)),
    KEY(mig, INTEGER, ON(PROC)),
};

/* ---- Values ----------------------------------------------------------------------------------------- */

static bool read_number(const char *text, double *number) {
    char *end;
    *number = strtod(text, &end);
    return end != text && !*end && !isnan(*number);
}

static bool read_integer(const char *text, uint64_t *number) {
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 0);
    return end != text && !*end && !errno && *text != '-';
}

uint32_t all_gpus(void) {
    return (uint32_t)((1ull << scenario.gpu_count) - 1);
}

bool concerns(uint32_t gpus, const Gpu *gpu) {
    return gpus >> gpu->index & 1;
}

/* "*", or a list such as "0,2,4-7". */
static bool read_gpus(const char *text, uint32_t *gpus) {
    bool all = strcmp(text, "*") == 0;
    *gpus = all ? all_gpus() : 0;
    for (const char *in = all ? "" : text; *in;) {
        char *end;
        long first = strtol(in, &end, 10), last = first;
        if (end != in && *end == '-')
            last = strtol(end + 1, &end, 10);
        if (end == in || (*end && *end != ','))
            return complain("'%s' is no list of GPUs: say * or, say, 0,2-3", text);
        if (first < 0 || last < first || last >= scenario.gpu_count)
            return complain("'%s' names a GPU that is not there: there are %d", text, scenario.gpu_count);
        for (long i = first; i <= last; i++)
            *gpus |= 1u << i;
        in = *end ? end + 1 : end;
    }
    return true;
}

static bool read_pid(const char *text, uint64_t *pid) {
    *pid = (uint64_t)getpid();
    return strcmp(text, "self") == 0 || read_integer(text, pid);
}

static bool read_value(const char *key, ValueKind kind, const char *text, void *target) {
    switch (kind) {
    case NUMBER:
        return read_number(text, target) || complain("%s=%s: expected a number", key, text);
    case INTEGER:
        return read_integer(text, target) || complain("%s=%s: expected a whole number", key, text);
    case PID:
        return read_pid(text, target) || complain("%s=%s: expected a process number or self", key, text);
    case GPUS:
        return (*text || complain("'' is no list of GPUs")) && read_gpus(text, target);
    default:
        strncpy(target, text, sizeof(Text) - 1);
        return strlen(text) < sizeof(Text) || complain("%s=%s: too long", key, text);
    }
}

/* ---- Lines ------------------------------------------------------------------------------------------ */

/* Splits a line at blanks, in place; quotes keep blanks together, # ends the line.  -1: a quote is open. */
static int split(char *line, char *words[], int room) {
    int count = 0;
    for (char *in = line; count < room;) {
        in += strspn(in, " \t\r\n");
        if (!*in || *in == '#')
            break;
        char *out = words[count++] = in;
        bool quoted = false;
        for (; *in && (quoted || !strchr(" \t\r\n", *in)); in++) {
            if (*in == '"')
                quoted = !quoted;
            else
                *out++ = *in;
        }
        if (quoted)
            return -1;
        in += *in != '\0';
        *out = '\0';
    }
    return count;
}

static bool read_word(char *word, Line *line) {
    const char *directive = directives[line->directive].name;
    char *equals = strchr(word, '=');
    if (!equals)
        return complain("'%s' in %s: expected key=value", word, directive);
    *equals = '\0';
    for (size_t k = 0; k < LENGTH(keys); k++)
        if (keys[k].directives & ON(line->directive) && strcmp(keys[k].name, word) == 0)
            return read_value(word, keys[k].kind, equals + 1, (char *)line + keys[k].offset);
    return complain("unknown key '%s' in %s", word, directive);
}

/* A UUID made of the node's name and the place of the device on it: stable, and different between nodes.
 * SLURMD_NODENAME comes first, because a test cluster runs several nodes on one host. */
static void name_device(Device *device, Gpu *gpu, int slice) {
    char node[256] = "";
    gethostname(node, sizeof node - 1);
    const char *slurm_node = getenv("SLURMD_NODENAME");
    uint64_t hash = 14695981039346656037ull, half[2];
    for (const char *c = slurm_node ? slurm_node : node; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211ull; /* FNV-1a */
    hash += (uint64_t)(gpu->index * (MAX_SLICES + 1) + slice + 1) << 32;
    for (int i = 0; i < 2; i++) { /* splitmix64 */
        uint64_t z = hash += 0x9e3779b97f4a7c15ull;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        half[i] = z ^ (z >> 31);
    }
    *device = (Device){.gpu = gpu, .slice = slice};
    snprintf(device->uuid, sizeof device->uuid, "%s-%08x-%04x-%04x-%04x-%012llx", slice == WHOLE ? "GPU" : "MIG",
        (unsigned)(half[0] >> 32), (unsigned)(half[0] >> 16 & 0xffff), (unsigned)(half[0] & 0xffff),
        (unsigned)(half[1] >> 48), (unsigned long long)(half[1] & 0xffffffffffff));
}

static void add_gpu(const Line *line) {
    Gpu *gpu = &scenario.gpus[scenario.gpu_count];
    *gpu = (Gpu){.index = scenario.gpu_count++, .cc_major = (int)(line->cc + 1e-6), .limit_w = line->power_w,
        .memory_bytes = floor(line->mem_gib * 1024 * MIB), .mem_used = line->mem_used,
        .ring_depth = (unsigned)line->ring, .ring_period_s = line->ring_ms / 1000, .ring_scale = line->ring_scale};
    gpu->cc_minor = (int)lround((line->cc - gpu->cc_major) * 10);
    strcpy(gpu->name, line->name);
    for (int slice = WHOLE; slice < MAX_SLICES; slice++)
        name_device(slice == WHOLE ? &gpu->whole : &gpu->slice[slice], gpu, slice);
}

static bool finish_gpu(const Line *line) {
    if (scenario.gpus_settled)
        return complain("gpu lines come before the lines that name GPUs");
    if (!(line->cc >= 1 && line->cc < 100 && line->mem_gib > 0 && line->ring > 0 && line->ring_ms > 0))
        return complain("gpu needs cc >= 1, and mem_gib, ring and ring_ms above 0");
    if (line->count > (uint64_t)(MAX_GPUS - scenario.gpu_count))
        return complain("more than %d GPUs", MAX_GPUS);
    for (uint64_t i = 0; i < line->count; i++)
        add_gpu(line);
    return true;
}

static bool add_trace_point(Line *line, TracePoint point) {
    if (line->points && point.t <= line->trace[line->points - 1].t)
        return complain("%s: times must increase, and %g does not", line->csv, point.t);
    if ((line->points & (line->points - 1)) == 0) /* a power of two: full, or empty */
        line->trace = realloc(line->trace, (line->points ? 2 * line->points : 1) * sizeof point);
    line->trace[line->points++] = point;
    return true;
}

/* A CSV file of seconds,per cent beside the scenario; each level holds until the next row. */
static bool read_trace(Line *line) {
    const char *slash = *line->csv == '/' ? NULL : strrchr(place.source, '/');
    char path[PATH_MAX], row[256];
    snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash - place.source + 1) : 0, place.source, line->csv);
    FILE *file = fopen(path, "r");
    if (!file)
        return complain("cannot read %s: %s", path, strerror(errno));
    bool good = true;
    for (int number = 1; good && fgets(row, sizeof row, file); number++) {
        TracePoint point;
        if (sscanf(row, "%lf ,%lf", &point.t, &point.level) == 2)
            good = add_trace_point(line, point);
        else if (number > 1 && row[strspn(row, " \t\r\n")]) /* the first row may be a header */
            good = complain("%s:%d: expected seconds,per cent", path, number);
    }
    fclose(file);
    return good && (line->points || complain("%s has no rows", path));
}

static bool finish_wave(Line *line) {
    static const char *const kinds[] = {[CONSTANT] = "const", [SQUARE] = "square", [SINE] = "sine"};
    while (line->wave_kind < LENGTH(kinds) && strcmp(line->kind, kinds[line->wave_kind]) != 0)
        line->wave_kind++;
    if (line->wave_kind == LENGTH(kinds))
        return complain("kind=%s: expected const, square or sine", line->kind);
    if (!(line->period > 0 && line->duty >= 0 && line->duty <= 1))
        return complain("wave needs period > 0 and duty in 0..1");
    if (fmin(line->hi, line->lo) < 0 || fmax(line->hi, line->lo) > 100)
        return complain("hi and lo are per cent: 0..100");
    if (!*line->csv)
        return true;
    line->wave_kind = TRACE;
    return read_trace(line);
}

static bool finish_rule(Line *line) {
    uint64_t field;
    line->field = -1;
    if (strncmp(line->fn, "field:", 6) == 0 && read_integer(line->fn + 6, &field))
        line->field = (long)field;
    else if (strcmp(line->fn, "*") != 0 && strncmp(line->fn, "nvml", 4) != 0)
        return complain("fn=%s: expected *, the beginning of an NVML function's name, or field:ID", line->fn);
    return true;
}

static bool finish_ecc(const Line *line) {
    return strcmp(line->kind, "corrected") == 0 || strcmp(line->kind, "uncorrected") == 0
        || complain("kind=%s: expected corrected or uncorrected", line->kind);
}

static bool finish_mig(const Line *line) {
    if (line->count > MAX_SLICES)
        return complain("count=%d: a GPU has at most %d MIG slices", (int)line->count, MAX_SLICES);
    for (int i = 0; i < scenario.gpu_count; i++)
        if (concerns(line->gpus, &scenario.gpus[i]))
            scenario.gpus[i].slices = (unsigned)line->count;
    return true;
}

/* Checks a line whose keys are read, and carries it out where it does not wait for its time. */
static bool finish_line(Line *line) {
    switch (line->directive) {
    case GPU:
        return finish_gpu(line);
    case DRIVER:
        strcpy(scenario.driver, line->name);
        scenario.cuda = (unsigned)line->cuda;
        return true;
    case CLOCK:
        scenario.scale = line->scale;
        return true;
    case WAVE:
        return finish_wave(line);
    case FAULT:
    case LATENCY:
        return finish_rule(line);
    case ECC:
        return finish_ecc(line);
    case MIG:
        return finish_mig(line);
    default:
        return true;
    }
}

static bool read_words(char *words[], int count) {
    size_t d = 0;
    while (d < LENGTH(directives) && strcmp(words[0], directives[d].name) != 0)
        d++;
    if (d == LENGTH(directives))
        return complain("unknown directive '%s'", words[0]);
    if (scenario.line_count == MAX_LINES)
        return complain("more than %d directives", MAX_LINES);
    Line *line = &scenario.lines[scenario.line_count++];
    *line = directives[d].defaults;
    line->directive = (Directive)d;
    line->gpus = all_gpus();
    line->until = INFINITY;
    line->pid = (uint64_t)getpid();
    for (int i = 1; i < count; i++)
        if (!read_word(words[i], line))
            return false;
    return finish_line(line);
}

/* Eight of the default GPU, unless some were given. */
static bool settle_gpus(void) {
    bool given = scenario.gpus_settled;
    for (int i = 0; i < scenario.line_count; i++)
        given = given || scenario.lines[i].directive == GPU;
    bool good = given || read_words((char *[]){"gpu", (char[]){"count=8"}}, 2);
    scenario.gpus_settled = true;
    return good;
}

static bool read_line(char *text) {
    char *words[32];
    int count = split(text, words, (int)LENGTH(words));
    if (count < 0)
        return complain("a quote is not closed");
    bool before_gpus = count == 0 || strcmp(words[0], "gpu") == 0 || strcmp(words[0], "driver") == 0
        || strcmp(words[0], "clock") == 0;
    return (before_gpus || settle_gpus()) && (count == 0 || read_words(words, count));
}

static bool read_scenario(const char *path) {
    place.source = path;
    place.line = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return complain("cannot read it: %s", strerror(errno));
    char text[1024];
    bool good = true;
    while (good && fgets(text, sizeof text, file)) {
        place.line++;
        bool whole = strchr(text, '\n') || feof(file);
        good = whole ? read_line(text) : complain("the line is too long");
    }
    fclose(file);
    return good;
}

/* ---- The whole of it -------------------------------------------------------------------------------- */

/* Hidden GPUs vanish and the others are numbered anew, as in a Slurm job's cgroup. */
static bool number_visible_gpus(void) {
    const char *visible = getenv("FAKE_NVML_VISIBLE");
    uint32_t gpus = all_gpus();
    place.source = "FAKE_NVML_VISIBLE";
    if (visible && !read_gpus(visible, &gpus))
        return false;
    for (int i = 0, next = 0; i < scenario.gpu_count; i++)
        scenario.gpus[i].visible_index = gpus >> i & 1 ? next++ : -1;
    return true;
}

/* Leaves `seconds` as it is where the variable is not set. */
static bool read_seconds(const char *variable, double *seconds) {
    const char *text = getenv(variable);
    place.source = variable;
    return !text || read_number(text, seconds) || complain("'%s' is no number of seconds", text);
}

static bool read_clock(void) {
    double pinned_at;
    scenario.epoch = -1;
    scenario.pinned = getenv("FAKE_NVML_NOW");
    return read_seconds("FAKE_NVML_T0", &scenario.epoch) && read_seconds("FAKE_NVML_NOW", &pinned_at);
}

bool load_scenario(void) {
    const char *path = getenv("FAKE_NVML");
    for (int i = 0; i < scenario.line_count; i++)
        free(scenario.lines[i].trace);
    scenario.gpu_count = scenario.line_count = 0;
    scenario.gpus_settled = false;
    for (Directive d = DRIVER; d <= CLOCK; d++) {
        Line defaults = directives[d].defaults;
        defaults.directive = d;
        finish_line(&defaults);
    }
    if (path && *path && !read_scenario(path))
        return false;
    place.line = 0;
    return settle_gpus() && number_visible_gpus() && read_clock();
}

Line *next_line(const Line *line, Directive directive, const Gpu *gpu, double t) {
    for (int i = line ? (int)(line - scenario.lines) + 1 : 0; i < scenario.line_count; i++) {
        Line *next = &scenario.lines[i];
        if (next->directive == directive && concerns(next->gpus, gpu) && next->at <= t && t < next->until)
            return next;
    }
    return NULL;
}
