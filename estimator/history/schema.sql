-- The tables and views of a new history.  Times are Unix seconds; every other column carries its unit.
-- The columns and views of the rollups are added by rollup_table.py, from the registry of metrics.

-- A run, as its folder describes it.
CREATE TABLE run (
    run TEXT PRIMARY KEY,
    kind TEXT,
    name TEXT,
    model TEXT,
    command TEXT,  -- a JSON list
    host TEXT,
    folder TEXT NOT NULL,
    user TEXT,  -- the login name
    began_s REAL,  -- submitted
    started_s REAL,  -- its first attempt
    ended_s REAL,
    state TEXT NOT NULL,
    exit_code INTEGER,
    precision_planned TEXT,
    precision_seen TEXT
);
CREATE INDEX run_began ON run (began_s);

CREATE TABLE node (
    run TEXT NOT NULL REFERENCES run,
    node TEXT NOT NULL,
    driver TEXT,
    attribution TEXT,
    period_s REAL,
    PRIMARY KEY (run, node)
) WITHOUT ROWID;

CREATE TABLE gpu (
    uuid TEXT PRIMARY KEY,
    name TEXT,
    memory_bytes INTEGER,
    power_limit_w REAL,
    compute_capability TEXT,
    mig_parent TEXT
) WITHOUT ROWID;

-- A GPU of a run, summed up.
CREATE TABLE run_gpu (
    run TEXT NOT NULL REFERENCES run,
    uuid TEXT NOT NULL REFERENCES gpu,
    node TEXT NOT NULL,
    place INTEGER NOT NULL,  -- in the header of its spool
    gpu_index TEXT,  -- as nvidia-smi shows it: 0, or 1:0 for a MIG instance
    first_s REAL,
    last_s REAL,
    ticks INTEGER NOT NULL,
    utilisation_mean REAL,
    memory_peak_bytes INTEGER,
    power_mean_w REAL,
    energy_j REAL,
    idle_s REAL,  -- of minutes in which no sample of utilisation was above 2 %
    PRIMARY KEY (run, uuid)
) WITHOUT ROWID;

-- The number of a GPU of a run, which is shorter than their names.
CREATE TABLE series (
    series INTEGER PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run,
    uuid TEXT NOT NULL REFERENCES gpu,
    UNIQUE (run, uuid)
);

-- A minute, or ten, of a GPU of a run.
CREATE TABLE rollup_row (
    series INTEGER NOT NULL REFERENCES series,
    width_s INTEGER NOT NULL,
    time_s INTEGER NOT NULL,
    ticks INTEGER NOT NULL,
    utilisation_samples INTEGER NOT NULL,
    PRIMARY KEY (series, width_s, time_s)
) WITHOUT ROWID;

-- Ten minutes of readings of a GPU of a run; packed_block.py says how they are packed.
CREATE TABLE raw_block (
    run TEXT NOT NULL REFERENCES run,
    uuid TEXT NOT NULL REFERENCES gpu,
    time_s INTEGER NOT NULL,
    ticks INTEGER NOT NULL,
    packed BLOB NOT NULL,
    PRIMARY KEY (run, uuid, time_s)
);

CREATE TABLE event (
    run TEXT NOT NULL REFERENCES run,
    node TEXT NOT NULL,
    time_s REAL NOT NULL,
    kind TEXT NOT NULL,
    uuid TEXT,
    text TEXT NOT NULL,
    UNIQUE (run, node, time_s, kind, text)
);

-- How far a growing file of a run has been read.
CREATE TABLE spool (
    run TEXT NOT NULL REFERENCES run,
    spool TEXT NOT NULL,
    node TEXT NOT NULL,
    offset INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    damaged_bytes INTEGER NOT NULL,
    PRIMARY KEY (run, spool)
) WITHOUT ROWID;

-- The readings of a GPU by one sampler: from when to when, and the energy that the GPU took in between.
CREATE TABLE spool_gpu (
    run TEXT NOT NULL REFERENCES run,
    uuid TEXT NOT NULL REFERENCES gpu,
    spool TEXT NOT NULL,
    first_s REAL NOT NULL,
    last_s REAL NOT NULL,
    counter_mj INTEGER,  -- the last reading of the energy counter
    energy_mj INTEGER,
    PRIMARY KEY (run, uuid, spool)
) WITHOUT ROWID;

-- A note of the report, as it was when the run had ended.
CREATE TABLE note (
    run TEXT NOT NULL REFERENCES run,
    code TEXT NOT NULL,
    text TEXT NOT NULL,
    uuids TEXT NOT NULL,  -- a JSON list
    UNIQUE (run, code, text)
);

CREATE TABLE measurement (
    id INTEGER PRIMARY KEY,
    run TEXT REFERENCES run,
    model TEXT NOT NULL,
    gpu TEXT,
    nodes INTEGER NOT NULL,
    gpus INTEGER NOT NULL,
    gpus_per_node INTEGER NOT NULL,
    batch_size INTEGER NOT NULL,
    accumulation INTEGER NOT NULL,
    model_parallel INTEGER NOT NULL,
    tensor_parallel INTEGER,
    pipeline_parallel INTEGER,
    zero_stage INTEGER,
    precision TEXT NOT NULL,
    seq_len INTEGER,
    parameters INTEGER,
    active_parameters INTEGER,
    trainable_parameters INTEGER,
    cluster TEXT,  -- the name of its profile
    step_time_s REAL NOT NULL,
    spread REAL,
    n_steps INTEGER,
    busy_share REAL,
    data_wait_share REAL,
    memory_peak_bytes INTEGER,
    startup_s REAL,
    evaluation_s REAL,
    checkpoint_s REAL,
    queue_wait_s REAL,
    restarts INTEGER,
    energy_per_sample_j REAL,
    source TEXT NOT NULL,
    time_s REAL
);
CREATE INDEX measurement_run ON measurement (run);

-- The estimate that a run was submitted with.
CREATE TABLE estimate (
    run TEXT PRIMARY KEY REFERENCES run,
    created_s REAL NOT NULL,
    step_time_p10_s REAL,
    step_time_p50_s REAL,
    step_time_p90_s REAL,
    wall_clock_p10_s REAL,
    wall_clock_p50_s REAL,
    wall_clock_p90_s REAL,
    wall_clock_p95_s REAL,
    source TEXT NOT NULL,
    source_kind TEXT
) WITHOUT ROWID;

-- Seconds are from the start of the first attempt; Slurm tells ends in whole seconds, so an end may seem to be earlier.
CREATE VIEW v_runs AS
    SELECT run, name, user, model, state,
        datetime(began_s, 'unixepoch') AS began_utc,
        datetime(started_s, 'unixepoch') AS started_utc,
        round(started_s - began_s, 1) AS waited_s,
        round(max(ended_s - started_s, 0), 1) AS seconds,
        (SELECT count(*) FROM run_gpu g WHERE g.run = run.run) AS gpus,
        (SELECT round(sum(utilisation_mean * ticks) / sum(ticks), 1) FROM run_gpu g
            WHERE g.run = run.run AND utilisation_mean IS NOT NULL) AS utilisation_mean,
        (SELECT round(sum(energy_j) / 3.6e6, 3) FROM run_gpu g WHERE g.run = run.run) AS energy_kwh
    FROM run ORDER BY began_s DESC;

CREATE VIEW v_gpu_utilisation AS
    SELECT run, node, place, gpu_index, g.uuid, gpu.name, ticks,
        round(utilisation_mean, 1) AS utilisation_mean,
        round(memory_peak_bytes / 1073741824.0, 1) AS memory_peak_gib,
        round(power_mean_w) AS power_mean_w,
        round(energy_j) AS energy_j
    FROM run_gpu g LEFT JOIN gpu USING (uuid) ORDER BY run, node, place;

CREATE VIEW v_waste AS
    WITH held AS (
        SELECT run, idle_s, utilisation_mean, sum(s.last_s - s.first_s + coalesce(period_s, 1)) AS seconds
        FROM run_gpu JOIN node USING (run, node) JOIN spool_gpu s USING (run, uuid) GROUP BY run, uuid)
    SELECT run, name, user, model,
        datetime(began_s, 'unixepoch') AS began_utc,
        count(*) AS gpus,
        round(sum(seconds) / 3600, 3) AS gpu_hours,
        round(sum(min(idle_s, seconds)) / 3600, 3) AS idle_gpu_hours,
        round(sum(seconds * (1 - utilisation_mean / 100)) / 3600, 3) AS unused_gpu_hours,
        round(sum(min(idle_s, seconds)) / sum(seconds), 3) AS idle_share
    FROM held JOIN run USING (run) GROUP BY run ORDER BY idle_gpu_hours DESC;
