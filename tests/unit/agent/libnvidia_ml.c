/* A libnvidia-ml with the symbols that the agent asks for. It answers from the text file that the variable
 * FAKE_NVML names, read again at nvmlInit, at each count of devices and at each wait for an event:
 *
 *     driver init 0            what nvmlInit returns
 *     0 power 312500           board 0: milliwatts
 *     0.7 uuid MIG-abc         the MIG device in place 7 of board 0
 *     0 lost 1                 board 0 does not answer any more
 *     event0 board 0           the first XID event: whose
 *     event0 xid 79            and which
 *
 * What the file does not say is NVML_ERROR_NOT_SUPPORTED. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, BAD_ARGUMENT = 2, UNSUPPORTED = 3, MISSING = 6, TIMEOUT = 10, LOST = 15 };
enum { MOST_FACTS = 4096, MOST_DEVICES = 256, XID_EVENT = 8 };
typedef unsigned long long u64;
typedef struct { char scope[32], key[32], value[96]; } Fact;
typedef struct { char scope[32]; } Device;

static Fact facts[MOST_FACTS];
static int fact_count, events_told;
static Device devices[MOST_DEVICES];
static int device_count;

static void load(void) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[192];
    fact_count = 0;
    while (file && fact_count < MOST_FACTS && fgets(line, sizeof line, file)) {
        Fact *fact = &facts[fact_count];
        if (sscanf(line, "%31s %31s %95[^\n]", fact->scope, fact->key, fact->value) == 3) fact_count++;
    }
    if (file) fclose(file);
}

static const char *find(const char *scope, const char *key) {
    for (int i = 0; i < fact_count; i++)
        if (!strcmp(facts[i].scope, scope) && !strcmp(facts[i].key, key)) return facts[i].value;
    return NULL;
}

/* One device per scope for the whole life of the process, as NVML's handles are. */
static Device *device_at(const char *scope) {
    for (int i = 0; i < device_count; i++)
        if (!strcmp(devices[i].scope, scope)) return &devices[i];
    if (device_count == MOST_DEVICES) abort();
    strncpy(devices[device_count].scope, scope, 31);
    return &devices[device_count++];
}

static int answer(Device *device, const char *key, u64 *out) {
    const char *value = find(device->scope, key);
    if (find(device->scope, "lost")) return LOST;
    if (!value) return UNSUPPORTED;
    *out = strtoull(value, NULL, 0);
    return OK;
}

static int answer32(Device *device, const char *key, unsigned *out) {
    u64 wide;
    int code = answer(device, key, &wide);
    if (code == OK) *out = (unsigned)wide;
    return code;
}

static int answer_text(Device *device, const char *key, char *out, unsigned size) {
    const char *value = find(device->scope, key);
    if (find(device->scope, "lost")) return LOST;
    if (!value) return UNSUPPORTED;
    snprintf(out, size, "%s", value);
    return OK;
}

int nvmlInitWithFlags(unsigned flags) {
    const char *code;
    (void)flags;
    load();
    events_told = 0;
    code = find("driver", "init");
    return code ? atoi(code) : OK;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the fake"; }

int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    const char *value = find("driver", "version");
    snprintf(out, size, "%s", value ? value : "580.105.08");
    return OK;
}

int nvmlDeviceGetCount_v2(unsigned *out) {
    const char *code;
    char scope[32];
    load();
    code = find("driver", "count");
    if (code) return atoi(code);
    for (*out = 0; snprintf(scope, sizeof scope, "%u", *out), find(scope, "uuid"); ++*out) {}
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **out) {
    char scope[32];
    snprintf(scope, sizeof scope, "%u", index);
    if (find(scope, "lost")) return LOST;
    *out = device_at(scope);
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device *board, unsigned index, Device **out) {
    char scope[64];
    snprintf(scope, sizeof scope, "%s.%u", board->scope, index);
    if (!find(scope, "uuid")) return MISSING;
    *out = device_at(scope);
    return OK;
}

int nvmlDeviceGetUUID(Device *d, char *out, unsigned size) { return answer_text(d, "uuid", out, size); }
int nvmlDeviceGetName(Device *d, char *out, unsigned size) { return answer_text(d, "name", out, size); }
int nvmlDeviceGetMinorNumber(Device *d, unsigned *out) { return answer32(d, "minor", out); }
int nvmlDeviceGetPowerUsage(Device *d, unsigned *out) { return answer32(d, "power", out); }
int nvmlDeviceGetTotalEnergyConsumption(Device *d, u64 *out) { return answer(d, "energy", out); }
int nvmlDeviceGetCurrentClocksEventReasons(Device *d, u64 *out) { return answer(d, "reasons", out); }
int nvmlDeviceGetCurrentClocksThrottleReasons(Device *d, u64 *out) { return answer(d, "throttle", out); }
int nvmlDeviceGetMaxMigDeviceCount(Device *d, unsigned *out) { return answer32(d, "slots", out); }
int nvmlDeviceGetGpuInstanceId(Device *d, unsigned *out) { return answer32(d, "instance", out); }

int nvmlDeviceGetMigMode(Device *d, unsigned *current, unsigned *pending) {
    int code = answer32(d, "mig", current);
    if (code == OK) *pending = *current;
    return code;
}

int nvmlDeviceGetClockInfo(Device *d, int kind, unsigned *out) {
    return answer32(d, kind == 1 ? "sm" : "mem", out); /* NVML_CLOCK_SM, NVML_CLOCK_MEM */
}

typedef struct { unsigned gpu, memory; } Utilization;
int nvmlDeviceGetUtilizationRates(Device *d, Utilization *out) {
    int code = answer32(d, "gpu_util", &out->gpu);
    return code ? code : answer32(d, "mem_util", &out->memory);
}

typedef struct { unsigned version; u64 total, reserved, free, used; } Memory;
int nvmlDeviceGetMemoryInfo_v2(Device *d, Memory *out) {
    int code = answer(d, "used", &out->used);
    if (code == OK) code = answer(d, "free", &out->free);
    if (code == OK) code = answer(d, "reserved", &out->reserved);
    return code;
}

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
} Pci;
int nvmlDeviceGetPciInfo_v3(Device *d, Pci *out) { return answer_text(d, "pci", out->bus_id, 32); }

typedef struct {
    unsigned multiprocessors, copy, decoder, encoder, jpeg, ofa, slices, compute_slices;
    u64 memory_mb;
} Attributes;
int nvmlDeviceGetAttributes_v2(Device *d, Attributes *out) {
    int code = answer32(d, "slices", &out->slices);
    return code ? code : answer(d, "memory_mb", &out->memory_mb);
}

int nvmlEventSetCreate(void **out) { static int set; *out = &set; return OK; }
int nvmlDeviceGetSupportedEventTypes(Device *d, u64 *out) { return answer(d, "event_types", out); }
int nvmlDeviceRegisterEvents(Device *d, u64 kinds, void *set) {
    return d && set && kinds == XID_EVENT ? OK : BAD_ARGUMENT;
}

typedef struct { Device *device; u64 kind, data; unsigned instance, compute; } Event;
int nvmlEventSetWait_v2(void *set, Event *out, unsigned milliseconds) {
    char scope[32];
    (void)set, (void)milliseconds;
    load();
    snprintf(scope, sizeof scope, "event%d", events_told);
    if (!find(scope, "xid")) return TIMEOUT;
    events_told++;
    out->device = device_at(find(scope, "board"));
    out->kind = XID_EVENT;
    out->data = strtoull(find(scope, "xid"), NULL, 0);
    return OK;
}
