BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'clusterplan','m001_runs_and_samples','2026-11-25 11:11:57.388915+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'clusterplan','m010_measurements_of_runs','2026-11-25 12:52:02.807748+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'clusterplan','m011_waste','2026-11-25 14:13:47.116206+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'clusterplan','m012_precision','2026-11-25 15:15:49.670866+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'clusterplan','m013_compact_rollups','2026-11-25 15:57:31.023472+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'clusterplan','m014_what_each_sampler_saw','2026-11-25 16:00:54.400028+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'clusterplan','m015_time_without_waits','2026-11-25 16:40:00.000000+00:00');
CREATE TABLE estimate (
    run TEXT PRIMARY KEY REFERENCES run, made_s REAL NOT NULL, step_time_p10_s REAL, step_time_p50_s REAL,
    step_time_p90_s REAL, wall_clock_p10_s REAL, wall_clock_p50_s REAL, wall_clock_p90_s REAL, wall_clock_p95_s REAL,
    source TEXT NOT NULL, source_kind TEXT) WITHOUT ROWID;
INSERT INTO "estimate" VALUES('train-20251123T000000-0001',1763899000.0,1.0,1.5,2.0,300.0,310.0,320.0,330.0,'given','given');
CREATE TABLE event (
    run TEXT NOT NULL REFERENCES run, node TEXT NOT NULL, time_s REAL NOT NULL, kind TEXT NOT NULL, uuid TEXT,
    text TEXT NOT NULL,
    UNIQUE (run, node, time_s, kind, text));
INSERT INTO "event" VALUES('train-20251123T000000-0001','n1',1763900099.0,'xid','GPU-1','XID 43');
CREATE TABLE gpu (
    uuid TEXT PRIMARY KEY, name TEXT, memory_bytes INTEGER, power_limit_w REAL, compute_capability TEXT,
    mig_parent TEXT) WITHOUT ROWID;
INSERT INTO "gpu" VALUES('GPU-0','NVIDIA H100 80GB HBM3',80000000000,NULL,NULL,NULL);
INSERT INTO "gpu" VALUES('GPU-1','NVIDIA H100 80GB HBM3',80000000000,NULL,NULL,NULL);
CREATE TABLE measurement (
    id INTEGER PRIMARY KEY, run TEXT REFERENCES run, model TEXT NOT NULL, gpu TEXT, nodes INTEGER NOT NULL,
    gpus INTEGER NOT NULL, gpus_per_node INTEGER NOT NULL, batch_size INTEGER NOT NULL, accumulation INTEGER NOT NULL,
    precision TEXT NOT NULL, seq_len INTEGER, step_time_s REAL NOT NULL, spread REAL, n_steps INTEGER,
    busy_share REAL, data_wait_share REAL, memory_peak_bytes INTEGER, source TEXT NOT NULL, time_s REAL, model_parallel INTEGER NOT NULL DEFAULT 1, startup_s REAL, evaluation_s REAL, checkpoint_s REAL, queue_wait_s REAL, restarts INTEGER, energy_per_sample_j REAL);
INSERT INTO "measurement" VALUES(1,'train-20251123T000000-0001','phi2','h100-sxm',1,2,2,8,1,'bf16',NULL,1.5,NULL,NULL,NULL,NULL,NULL,'tracked',1763900300.0,1,20.0,NULL,NULL,NULL,1,NULL);
CREATE TABLE node (
    run TEXT NOT NULL REFERENCES run, node TEXT NOT NULL, driver TEXT, attribution TEXT, period_s REAL,
    PRIMARY KEY (run, node)) WITHOUT ROWID;
INSERT INTO "node" VALUES('train-20251123T000000-0001','n1','570','uuid',1.0);
CREATE TABLE note (
    run TEXT NOT NULL REFERENCES run, code TEXT NOT NULL, text TEXT NOT NULL, uuids TEXT NOT NULL,
    UNIQUE (run, code, uuids));
INSERT INTO "note" VALUES('train-20251123T000000-0001','idle','n1 GPU 1: idle','["GPU-1"]');
CREATE TABLE raw_block (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES run, uuid TEXT NOT NULL REFERENCES gpu,
    time_s INTEGER NOT NULL, ticks INTEGER NOT NULL, packed BLOB NOT NULL,
    UNIQUE (run, uuid, time_s));
INSERT INTO "raw_block" VALUES(1,'train-20251123T000000-0001','GPU-0',1763899800,300,X'789CEDDDBB0DC230004551070A1A4661031A7A988081182215CA04CCC1240C40CD4711F448417AB1754E73F5DAB83149C1A62BA5E36765355CFAF733BB2DCB4855555555A7357DBFABC9B100004046FA2E5C9372EDB7E9F302006849FA7E5793F3A94B1F170000C0DFA47F63D5247D560000AD49DFEF6AB2DB1FC667F6FD46A1AAAAAAAAD30A000029E9778D3559A40F0B00A031E9FB1D6DBA7F5EBBAF1FCF916DDBB66DDBB66DDBB66DDBB66DCF69A7DF9FD126FF6302000000C09CBD000C4CD6D0');
INSERT INTO "raw_block" VALUES(2,'train-20251123T000000-0001','GPU-1',1763899800,300,X'789CEDDDBB0DC230140550070A1A4661031A7A1883591822A2404CC01C4CC200D47C94401F11C4E359E73457B78BECE6C591E245534AC36065763CB5CF35BB4C4B474A29A594528ECBE8F92E936D01B2DADF7BD1CF01009F8A9E853329E77619BD5F000035899EEF3239EC9AE8ED020000F89AE877AC4CA2F70A00A036D1F35D26ABF5A65BB3F7370A29A594524A392E0100204AF459632693E8CD0200A84CF47C479DAEAF63F7F9ADFFEF97AEEBBAAEEBBAAEEBBAAEEBBAAEFF538F3E3FA34EEE310180DF730F1100000CF7009BB4E60E');
CREATE TABLE rollup_row (
    series INTEGER NOT NULL REFERENCES series, width_s INTEGER NOT NULL, time_s INTEGER NOT NULL,
    ticks INTEGER NOT NULL, utilisation_samples INTEGER NOT NULL, utilisation_mean INTEGER,
    utilisation_min REAL, utilisation_max REAL, utilisation_p50 REAL, memory_utilisation_mean INTEGER,
    memory_peak_bytes INTEGER, power_mean_w INTEGER, power_max_w INTEGER, temperature_max_c INTEGER,
    sm_clock_mean_mhz INTEGER, sm_active_mean INTEGER, occupancy_mean INTEGER, tensor_active_mean INTEGER,
    dram_active_mean INTEGER, throttled_share INTEGER, energy_first_mj INTEGER, energy_last_mj INTEGER,
    PRIMARY KEY (series, width_s, time_s)) WITHOUT ROWID;
INSERT INTO "rollup_row" VALUES(1,60,1763899980,40,80,90000,90.0,90.0,90.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,5000000,8900000);
INSERT INTO "rollup_row" VALUES(1,60,1763900040,60,120,90000,90.0,90.0,90.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,9000000,14900000);
INSERT INTO "rollup_row" VALUES(1,60,1763900100,60,120,90000,90.0,90.0,90.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,15000000,20900000);
INSERT INTO "rollup_row" VALUES(1,60,1763900160,60,120,90000,90.0,90.0,90.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,21000000,26900000);
INSERT INTO "rollup_row" VALUES(1,60,1763900220,60,120,90000,90.0,90.0,90.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,27000000,32900000);
INSERT INTO "rollup_row" VALUES(1,60,1763900280,20,40,90000,90.0,90.0,90.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,33000000,34900000);
INSERT INTO "rollup_row" VALUES(1,600,1763899800,300,600,90000,90.0,90.0,90.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,5000000,34900000);
INSERT INTO "rollup_row" VALUES(2,60,1763899980,40,80,100000,100.0,100.0,100.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,5000000,8900000);
INSERT INTO "rollup_row" VALUES(2,60,1763900040,60,120,100000,100.0,100.0,100.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,9000000,14900000);
INSERT INTO "rollup_row" VALUES(2,60,1763900100,60,120,33333,0.0,100.0,0.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,15000000,20900000);
INSERT INTO "rollup_row" VALUES(2,60,1763900160,60,120,0,0.0,0.0,0.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,21000000,26900000);
INSERT INTO "rollup_row" VALUES(2,60,1763900220,60,120,0,0.0,0.0,0.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,27000000,32900000);
INSERT INTO "rollup_row" VALUES(2,60,1763900280,20,40,0,0.0,0.0,0.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,33000000,34900000);
INSERT INTO "rollup_row" VALUES(2,600,1763899800,300,600,40000,0.0,100.0,0.0,NULL,1000000000,100000,100000,NULL,NULL,NULL,NULL,NULL,NULL,0,5000000,34900000);
CREATE TABLE run (
    run TEXT PRIMARY KEY, kind TEXT, name TEXT, model TEXT, command TEXT, host TEXT, folder TEXT NOT NULL,
    began_s REAL, ended_s REAL, state TEXT NOT NULL, exit_code INTEGER, precision_planned TEXT, precision_seen TEXT, started_s REAL);
INSERT INTO "run" VALUES('train-20251123T000000-0001','sample','train','phi2','["train"]','h','/runs/train-20251123T000000-0001',1763900000.0,1763900300.0,'completed',0,NULL,NULL,1763900000.0);
CREATE TABLE run_gpu (
    run TEXT NOT NULL REFERENCES run, uuid TEXT NOT NULL REFERENCES gpu, node TEXT NOT NULL, place INTEGER NOT NULL,
    first_s REAL, last_s REAL, ticks INTEGER NOT NULL, utilisation_mean REAL, memory_peak_bytes INTEGER,
    power_mean_w REAL, energy_j REAL, idle_s REAL,
    PRIMARY KEY (run, uuid)) WITHOUT ROWID;
INSERT INTO "run_gpu" VALUES('train-20251123T000000-0001','GPU-0','n1',0,1763900000.0,1763900299.0,300,90.0,1000000000,100.0,29900.0,0.0);
INSERT INTO "run_gpu" VALUES('train-20251123T000000-0001','GPU-1','n1',1,1763900000.0,1763900299.0,300,40.0,1000000000,100.0,29900.0,140.0);
CREATE TABLE series (
    series INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES run, uuid TEXT NOT NULL REFERENCES gpu,
    UNIQUE (run, uuid));
INSERT INTO "series" VALUES(1,'train-20251123T000000-0001','GPU-0');
INSERT INTO "series" VALUES(2,'train-20251123T000000-0001','GPU-1');
CREATE TABLE spool (
    run TEXT NOT NULL REFERENCES run, spool TEXT NOT NULL, node TEXT NOT NULL, offset INTEGER NOT NULL,
    frames INTEGER NOT NULL, damaged_bytes INTEGER NOT NULL,
    PRIMARY KEY (run, spool)) WITHOUT ROWID;
INSERT INTO "spool" VALUES('train-20251123T000000-0001','n1.00000000.spool','n1',32768,302,0);
CREATE TABLE spool_gpu (
    run TEXT NOT NULL REFERENCES run, uuid TEXT NOT NULL REFERENCES gpu, spool TEXT NOT NULL, first_s REAL NOT NULL,
    last_s REAL NOT NULL, counter_mj INTEGER, energy_mj INTEGER,
    PRIMARY KEY (run, uuid, spool)) WITHOUT ROWID;
INSERT INTO "spool_gpu" VALUES('train-20251123T000000-0001','GPU-0','n1.00000000.spool',1763900000.0,1763900299.0,34900000,29900000);
INSERT INTO "spool_gpu" VALUES('train-20251123T000000-0001','GPU-1','n1.00000000.spool',1763900000.0,1763900299.0,34900000,29900000);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE VIEW v_gpu_utilisation AS
    SELECT run, node, place, g.uuid, gpu.name, ticks, round(utilisation_mean, 1) AS utilisation_mean,
        round(memory_peak_bytes / 1073741824.0, 1) AS memory_peak_gib, round(power_mean_w) AS power_mean_w,
        round(energy_j) AS energy_j
    FROM run_gpu g LEFT JOIN gpu USING (uuid) ORDER BY run, node, place;
CREATE INDEX measurement_run ON measurement (run);
CREATE INDEX run_began ON run (began_s);
CREATE VIEW rollup AS
    SELECT run, uuid, width_s, time_s, ticks, utilisation_samples,
        utilisation_mean / 1000.0 AS utilisation_mean, utilisation_min, utilisation_max, utilisation_p50,
        memory_utilisation_mean / 1000.0 AS memory_utilisation_mean, memory_peak_bytes,
        power_mean_w / 1000.0 AS power_mean_w, power_max_w / 1000.0 AS power_max_w, temperature_max_c,
        sm_clock_mean_mhz / 1000.0 AS sm_clock_mean_mhz, sm_active_mean / 100000.0 AS sm_active_mean,
        occupancy_mean / 100000.0 AS occupancy_mean, tensor_active_mean / 100000.0 AS tensor_active_mean,
        dram_active_mean / 100000.0 AS dram_active_mean, throttled_share / 100000.0 AS throttled_share,
        energy_first_mj, energy_last_mj
    FROM series JOIN rollup_row USING (series);
CREATE VIEW v_runs AS
    SELECT run, name, model, state, datetime(began_s, 'unixepoch') AS began_utc,
        datetime(started_s, 'unixepoch') AS started_utc, round(started_s - began_s, 1) AS waited_s,
        round(ended_s - coalesce(started_s, began_s), 1) AS seconds,
        (SELECT count(*) FROM run_gpu g WHERE g.run = run.run) AS gpus,
        (SELECT round(sum(utilisation_mean * ticks) / sum(ticks), 1) FROM run_gpu g
            WHERE g.run = run.run AND utilisation_mean IS NOT NULL) AS utilisation_mean,
        (SELECT round(sum(energy_j) / 3.6e6, 3) FROM run_gpu g WHERE g.run = run.run) AS energy_kwh
    FROM run ORDER BY began_s DESC;
CREATE VIEW v_waste AS
    WITH held AS (
        SELECT run, idle_s, utilisation_mean, sum(s.last_s - s.first_s + coalesce(period_s, 1)) AS seconds
        FROM run_gpu JOIN node USING (run, node) JOIN spool_gpu s USING (run, uuid) GROUP BY run, uuid)
    SELECT run, name, model, datetime(began_s, 'unixepoch') AS began_utc, count(*) AS gpus,
        round(sum(seconds) / 3600, 3) AS gpu_hours, round(sum(min(idle_s, seconds)) / 3600, 3) AS idle_gpu_hours,
        round(sum(seconds * (1 - utilisation_mean / 100)) / 3600, 3) AS unused_gpu_hours,
        round(sum(min(idle_s, seconds)) / sum(seconds), 3) AS idle_share
    FROM held JOIN run USING (run) GROUP BY run ORDER BY idle_gpu_hours DESC;
COMMIT;
