"""The history's tables, as migrations that are only ever appended.

Times are Unix seconds, everything else carries its unit.  docs/reference/history-schema.md is made from the
database that these functions build.
"""

from sqlite_utils import Database, Migrations

migrations = Migrations("clusterplan")


@migrations()
def m001_runs_and_samples(db: Database) -> None:
    """Runs, their GPUs and what those did; the tables that measurements, estimates and notes will fill."""
    for statement in _TABLES:
        db.execute(statement)


@migrations()
def m010_measurements_of_runs(db: Database) -> None:
    """The measurements of each run, with what else was learnt of it; estimates keep the kind of their source."""
    db.execute("CREATE INDEX measurement_run ON measurement (run)")
    for column in (
        "model_parallel INTEGER NOT NULL DEFAULT 1",
        "startup_s REAL",
        "evaluation_s REAL",
        "checkpoint_s REAL",
        "queue_wait_s REAL",
        "restarts INTEGER",
        "energy_per_sample_j REAL",
    ):
        db.execute(f"ALTER TABLE measurement ADD COLUMN {column}")
    db.execute("ALTER TABLE estimate ADD COLUMN source_kind TEXT")


@migrations()
def m011_waste(db: Database) -> None:
    """How long each GPU idled, and the view that adds it up; the model of a run beside its name."""
    for statement in _WASTE:
        db.execute(statement)


@migrations()
def m012_precision(db: Database) -> None:
    """What each run was to train in, and what it was seen to."""
    for column in ("precision_planned", "precision_seen"):
        db.execute(f"ALTER TABLE run ADD COLUMN {column} TEXT")


@migrations()
def m013_compact_rollups(db: Database) -> None:
    """Rollups in whole numbers, by the number of their run and GPU; `rollup` is a view of them in their units."""
    for statement in _COMPACT:
        db.execute(statement)


@migrations()
def m014_what_each_sampler_saw(db: Database) -> None:
    """When each sampler saw a GPU and what that took meanwhile; what is there counts as seen by one."""
    for statement in _STRETCHES:
        db.execute(statement)


@migrations()
def m015_time_without_waits(db: Database) -> None:
    """When a run's first attempt began; the views leave out the queue, and waste the time between attempts."""
    for statement in _WITHOUT_WAITS:
        db.execute(statement)


@migrations()
def m016_time_of_what_began(db: Database) -> None:
    """A run that never began took no time, and none took less than nothing: Slurm tells ends in whole seconds."""
    for statement in _WHAT_BEGAN:
        db.execute(statement)


# What a rollup says of its time: utilisation from the driver's own samples where it keeps them.
_ROLLED_UP = """
    ticks INTEGER NOT NULL,
    utilisation_samples INTEGER NOT NULL,
    utilisation_mean REAL, utilisation_min REAL, utilisation_max REAL, utilisation_p50 REAL,
    memory_utilisation_mean REAL,
    memory_peak_bytes INTEGER,
    power_mean_w REAL, power_max_w REAL,
    temperature_max_c INTEGER,
    sm_clock_mean_mhz REAL,
    sm_active_mean REAL, occupancy_mean REAL, tensor_active_mean REAL, dram_active_mean REAL,
    throttled_share REAL,
    energy_first_mj INTEGER, energy_last_mj INTEGER"""

_TABLES = (
    """CREATE TABLE run (
    run TEXT PRIMARY KEY, kind TEXT, name TEXT, model TEXT, command TEXT, host TEXT, folder TEXT NOT NULL,
    began_s REAL, ended_s REAL, state TEXT NOT NULL, exit_code INTEGER)""",
    """CREATE TABLE node (
    run TEXT NOT NULL REFERENCES run, node TEXT NOT NULL, driver TEXT, attribution TEXT, period_s REAL,
    PRIMARY KEY (run, node)) WITHOUT ROWID""",
    """CREATE TABLE gpu (
    uuid TEXT PRIMARY KEY, name TEXT, memory_bytes INTEGER, power_limit_w REAL, compute_capability TEXT,
    mig_parent TEXT) WITHOUT ROWID""",
    """CREATE TABLE run_gpu (
    run TEXT NOT NULL REFERENCES run, uuid TEXT NOT NULL REFERENCES gpu, node TEXT NOT NULL, place INTEGER NOT NULL,
    first_s REAL, last_s REAL, ticks INTEGER NOT NULL, utilisation_mean REAL, memory_peak_bytes INTEGER,
    power_mean_w REAL, energy_j REAL,
    PRIMARY KEY (run, uuid)) WITHOUT ROWID""",
    f"""CREATE TABLE rollup (
    run TEXT NOT NULL REFERENCES run, uuid TEXT NOT NULL REFERENCES gpu, width_s INTEGER NOT NULL,
    time_s INTEGER NOT NULL, {_ROLLED_UP},
    PRIMARY KEY (run, uuid, width_s, time_s)) WITHOUT ROWID""",
    """CREATE TABLE raw_block (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES run, uuid TEXT NOT NULL REFERENCES gpu,
    time_s INTEGER NOT NULL, ticks INTEGER NOT NULL, packed BLOB NOT NULL,
    UNIQUE (run, uuid, time_s))""",
    """CREATE TABLE event (
    run TEXT NOT NULL REFERENCES run, node TEXT NOT NULL, time_s REAL NOT NULL, kind TEXT NOT NULL, uuid TEXT,
    text TEXT NOT NULL,
    UNIQUE (run, node, time_s, kind, text))""",
    """CREATE TABLE spool (
    run TEXT NOT NULL REFERENCES run, spool TEXT NOT NULL, node TEXT NOT NULL, offset INTEGER NOT NULL,
    frames INTEGER NOT NULL, damaged_bytes INTEGER NOT NULL,
    PRIMARY KEY (run, spool)) WITHOUT ROWID""",
    """CREATE TABLE note (
    run TEXT NOT NULL REFERENCES run, code TEXT NOT NULL, text TEXT NOT NULL, uuids TEXT NOT NULL,
    UNIQUE (run, code, uuids))""",
    """CREATE TABLE measurement (
    id INTEGER PRIMARY KEY, run TEXT REFERENCES run, model TEXT NOT NULL, gpu TEXT, nodes INTEGER NOT NULL,
    gpus INTEGER NOT NULL, gpus_per_node INTEGER NOT NULL, batch_size INTEGER NOT NULL, accumulation INTEGER NOT NULL,
    precision TEXT NOT NULL, seq_len INTEGER, step_time_s REAL NOT NULL, spread REAL, n_steps INTEGER,
    busy_share REAL, data_wait_share REAL, memory_peak_bytes INTEGER, source TEXT NOT NULL, time_s REAL)""",
    """CREATE TABLE estimate (
    run TEXT PRIMARY KEY REFERENCES run, made_s REAL NOT NULL, step_time_p10_s REAL, step_time_p50_s REAL,
    step_time_p90_s REAL, wall_clock_p10_s REAL, wall_clock_p50_s REAL, wall_clock_p90_s REAL, wall_clock_p95_s REAL,
    source TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE VIEW v_runs AS
    SELECT run, name, state, datetime(began_s, 'unixepoch') AS began_utc, round(ended_s - began_s, 1) AS seconds,
        (SELECT count(*) FROM run_gpu g WHERE g.run = run.run) AS gpus,
        (SELECT round(sum(utilisation_mean * ticks) / sum(ticks), 1) FROM run_gpu g WHERE g.run = run.run)
            AS utilisation_mean,
        (SELECT round(sum(energy_j) / 3.6e6, 3) FROM run_gpu g WHERE g.run = run.run) AS energy_kwh
    FROM run ORDER BY began_s DESC""",
    """CREATE VIEW v_gpu_utilisation AS
    SELECT run, node, place, g.uuid, gpu.name, ticks, round(utilisation_mean, 1) AS utilisation_mean,
        round(memory_peak_bytes / 1073741824.0, 1) AS memory_peak_gib, round(power_mean_w) AS power_mean_w,
        round(energy_j) AS energy_j
    FROM run_gpu g LEFT JOIN gpu USING (uuid) ORDER BY run, node, place""",
)

# A minute is idle if not even the busiest of its samples was above 2 % (`IDLE_PERCENT` of the report).
_WASTE = (
    "ALTER TABLE run_gpu ADD COLUMN idle_s REAL",
    """UPDATE run_gpu SET idle_s = (
        SELECT total(r.ticks) * coalesce(n.period_s, 1) FROM node n JOIN rollup r USING (run)
        WHERE n.run = run_gpu.run AND n.node = run_gpu.node AND r.uuid = run_gpu.uuid AND r.width_s = 60
            AND r.utilisation_max <= 2)
    WHERE utilisation_mean IS NOT NULL""",
    "CREATE INDEX run_began ON run (began_s)",
    "DROP VIEW v_runs",
    """CREATE VIEW v_runs AS
    SELECT run, name, model, state, datetime(began_s, 'unixepoch') AS began_utc,
        round(ended_s - began_s, 1) AS seconds,
        (SELECT count(*) FROM run_gpu g WHERE g.run = run.run) AS gpus,
        (SELECT round(sum(utilisation_mean * ticks) / sum(ticks), 1) FROM run_gpu g
            WHERE g.run = run.run AND utilisation_mean IS NOT NULL) AS utilisation_mean,
        (SELECT round(sum(energy_j) / 3.6e6, 3) FROM run_gpu g WHERE g.run = run.run) AS energy_kwh
    FROM run ORDER BY began_s DESC""",
    """CREATE VIEW v_waste AS
    WITH held AS (
        SELECT run, min(idle_s, last_s - first_s + coalesce(period_s, 1)) AS idle_s, utilisation_mean,
            last_s - first_s + coalesce(period_s, 1) AS seconds
        FROM run_gpu JOIN node USING (run, node))
    SELECT run, name, model, datetime(began_s, 'unixepoch') AS began_utc, count(*) AS gpus,
        round(sum(seconds) / 3600, 3) AS gpu_hours, round(sum(idle_s) / 3600, 3) AS idle_gpu_hours,
        round(sum(seconds * (1 - utilisation_mean / 100)) / 3600, 3) AS unused_gpu_hours,
        round(sum(idle_s) / sum(seconds), 3) AS idle_share
    FROM held JOIN run USING (run) GROUP BY run ORDER BY idle_gpu_hours DESC""",
)

# Means, and the largest power, are kept in 1/1000 of their unit, shares in 1/100,000: 3 bytes each, where a float
# takes 8.  So does the number of a run and GPU, where their names take 70.
_COMPACT = (
    """CREATE TABLE series (
    series INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES run, uuid TEXT NOT NULL REFERENCES gpu,
    UNIQUE (run, uuid))""",
    """CREATE TABLE rollup_row (
    series INTEGER NOT NULL REFERENCES series, width_s INTEGER NOT NULL, time_s INTEGER NOT NULL,
    ticks INTEGER NOT NULL, utilisation_samples INTEGER NOT NULL, utilisation_mean INTEGER,
    utilisation_min REAL, utilisation_max REAL, utilisation_p50 REAL, memory_utilisation_mean INTEGER,
    memory_peak_bytes INTEGER, power_mean_w INTEGER, power_max_w INTEGER, temperature_max_c INTEGER,
    sm_clock_mean_mhz INTEGER, sm_active_mean INTEGER, occupancy_mean INTEGER, tensor_active_mean INTEGER,
    dram_active_mean INTEGER, throttled_share INTEGER, energy_first_mj INTEGER, energy_last_mj INTEGER,
    PRIMARY KEY (series, width_s, time_s)) WITHOUT ROWID""",
    "INSERT INTO series (run, uuid) SELECT DISTINCT run, uuid FROM rollup",
    """INSERT INTO rollup_row SELECT series, width_s, time_s, ticks, utilisation_samples,
        round(utilisation_mean * 1000), utilisation_min, utilisation_max, utilisation_p50,
        round(memory_utilisation_mean * 1000), memory_peak_bytes, round(power_mean_w * 1000),
        round(power_max_w * 1000), temperature_max_c, round(sm_clock_mean_mhz * 1000),
        round(sm_active_mean * 100000), round(occupancy_mean * 100000), round(tensor_active_mean * 100000),
        round(dram_active_mean * 100000), round(throttled_share * 100000), energy_first_mj, energy_last_mj
    FROM series JOIN rollup USING (run, uuid)""",
    "DROP TABLE rollup",
    """CREATE VIEW rollup AS
    SELECT run, uuid, width_s, time_s, ticks, utilisation_samples,
        utilisation_mean / 1000.0 AS utilisation_mean, utilisation_min, utilisation_max, utilisation_p50,
        memory_utilisation_mean / 1000.0 AS memory_utilisation_mean, memory_peak_bytes,
        power_mean_w / 1000.0 AS power_mean_w, power_max_w / 1000.0 AS power_max_w, temperature_max_c,
        sm_clock_mean_mhz / 1000.0 AS sm_clock_mean_mhz, sm_active_mean / 100000.0 AS sm_active_mean,
        occupancy_mean / 100000.0 AS occupancy_mean, tensor_active_mean / 100000.0 AS tensor_active_mean,
        dram_active_mean / 100000.0 AS dram_active_mean, throttled_share / 100000.0 AS throttled_share,
        energy_first_mj, energy_last_mj
    FROM series JOIN rollup_row USING (series)""",
)

_STRETCHES = (
    """CREATE TABLE spool_gpu (
    run TEXT NOT NULL REFERENCES run, uuid TEXT NOT NULL REFERENCES gpu, spool TEXT NOT NULL, first_s REAL NOT NULL,
    last_s REAL NOT NULL, counter_mj INTEGER, energy_mj INTEGER,
    PRIMARY KEY (run, uuid, spool)) WITHOUT ROWID""",
    """INSERT INTO spool_gpu
    SELECT run, uuid, coalesce((SELECT max(spool) FROM spool s WHERE s.run = g.run AND s.node = g.node), ''),
        first_s, last_s,
        (SELECT energy_last_mj FROM rollup r WHERE r.run = g.run AND r.uuid = g.uuid AND r.width_s = 600
            ORDER BY r.time_s DESC LIMIT 1),
        CAST(round(energy_j * 1000) AS INTEGER)
    FROM run_gpu g WHERE first_s IS NOT NULL""",
)

_WITHOUT_WAITS = (
    "ALTER TABLE run ADD COLUMN started_s REAL",
    """UPDATE run SET started_s = CASE kind WHEN 'submit' THEN
        (SELECT min(time_s) FROM event e WHERE e.run = run.run AND e.kind = 'start') ELSE began_s END""",
    "DROP VIEW v_runs",
    """CREATE VIEW v_runs AS
    SELECT run, name, model, state, datetime(began_s, 'unixepoch') AS began_utc,
        datetime(started_s, 'unixepoch') AS started_utc, round(started_s - began_s, 1) AS waited_s,
        round(ended_s - coalesce(started_s, began_s), 1) AS seconds,
        (SELECT count(*) FROM run_gpu g WHERE g.run = run.run) AS gpus,
        (SELECT round(sum(utilisation_mean * ticks) / sum(ticks), 1) FROM run_gpu g
            WHERE g.run = run.run AND utilisation_mean IS NOT NULL) AS utilisation_mean,
        (SELECT round(sum(energy_j) / 3.6e6, 3) FROM run_gpu g WHERE g.run = run.run) AS energy_kwh
    FROM run ORDER BY began_s DESC""",
    "DROP VIEW v_waste",
    """CREATE VIEW v_waste AS
    WITH held AS (
        SELECT run, idle_s, utilisation_mean, sum(s.last_s - s.first_s + coalesce(period_s, 1)) AS seconds
        FROM run_gpu JOIN node USING (run, node) JOIN spool_gpu s USING (run, uuid) GROUP BY run, uuid)
    SELECT run, name, model, datetime(began_s, 'unixepoch') AS began_utc, count(*) AS gpus,
        round(sum(seconds) / 3600, 3) AS gpu_hours, round(sum(min(idle_s, seconds)) / 3600, 3) AS idle_gpu_hours,
        round(sum(seconds * (1 - utilisation_mean / 100)) / 3600, 3) AS unused_gpu_hours,
        round(sum(min(idle_s, seconds)) / sum(seconds), 3) AS idle_share
    FROM held JOIN run USING (run) GROUP BY run ORDER BY idle_gpu_hours DESC""",
)

_WHAT_BEGAN = (
    "DROP VIEW v_runs",
    """CREATE VIEW v_runs AS
    SELECT run, name, model, state, datetime(began_s, 'unixepoch') AS began_utc,
        datetime(started_s, 'unixepoch') AS started_utc, round(started_s - began_s, 1) AS waited_s,
        round(max(ended_s - started_s, 0), 1) AS seconds,
        (SELECT count(*) FROM run_gpu g WHERE g.run = run.run) AS gpus,
        (SELECT round(sum(utilisation_mean * ticks) / sum(ticks), 1) FROM run_gpu g
            WHERE g.run = run.run AND utilisation_mean IS NOT NULL) AS utilisation_mean,
        (SELECT round(sum(energy_j) / 3.6e6, 3) FROM run_gpu g WHERE g.run = run.run) AS energy_kwh
    FROM run ORDER BY began_s DESC""",
)
