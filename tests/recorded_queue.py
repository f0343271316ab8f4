"""A queue as Slurm 22.05.8 printed it on the test Slurm: jobs that run and wait, nodes, partitions, a maintenance."""

NOW_S = 1795904235.0
JOBS = """\
4|PENDING|long|4294901756|3|3|3|1000M|gres:gpu:a100:8|N/A|N/A|cpu=3,mem=3000M,node=3,billing=3|1:00:00|1795906030|1795904231|1795904231|root|||(null)|(null)|OK|(null)|Resources|
6_[0-9%2]|PENDING|long|4294901754|1|1|1|1000M|gres:gpu:8|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|1:00:00|1795920420|1795904232|1795904231|root|||(null)|(null)|OK|(null)|Priority|
7|PENDING|long|4294901753|1|1|1|32G|gres:gpu:1|N/A|N/A|cpu=1,mem=32G,node=1,billing=1|1:00:00|N/A|N/A|1795904231|root|||(null)|(null)|OK|afterok:1(unfulfilled)|Dependency|
9|PENDING|long|4294901752|1|1|1|1000M|gres:gpu:1|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|1:00:00|1795907831|1795907831|1795904231|root|||(null)|(null)|OK|(null)|BeginTime|
10|PENDING|long|4294901751|1|1|1|1000M|N/A|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|1:00:00|1795924020|1795904231|1795904231|root|||(null)|(null)|NO|(null)|Priority|
8|PENDING|long|0|1|1|1|1000M|gres:gpu:1|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|1:00:00|N/A|N/A|1795904231|root|||(null)|(null)|OK|(null)|JobHeldUser|
1|RUNNING|long|4294901759|1|1|1|1000M|gres:gpu:a100:2|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|20:00|1795904230|1795904229|1795904229|root|gpu1||(null)|(null)|OK|(null)|None|
2|RUNNING|long|4294901758|2|2|2|1000M|gres:gpu:8|N/A|N/A|cpu=2,mem=2000M,node=2,billing=2|30:00|1795904230|1795904229|1795904229|root|gpu[2-3]||(null)|(null)|OK|(null)|None|
3|RUNNING|long|4294901757|1|1|1|1000M|N/A|gres:gpu:4|N/A|cpu=1,mem=1000M,node=1,billing=1|10:00|1795904232|1795904231|1795904231|root|gpu1||(null)|(null)|OK|(null)|None|
5|PENDING|long,short|4294901755|1|4|4|1000M|N/A|N/A|gres:gpu:1|cpu=4,mem=4000M,node=1,billing=4|1:00:00|1795909620|1795904231|1795904231|root|||(null)|(null)|OK|(null)|PartitionTimeLimit|
11|RUNNING|old|4294901750|1|1|1|1000M|gres:gpu:v100:3|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|5:00|1795904232|1795904231|1795904231|root|gpu4|gpu4|(null)|(null)|OK|(null)|None|
"""
NODES = """\
NodeName=gpu1 CPUAlloc=2 CPUEfctv=16 CPUTot=16 ActiveFeatures=(null) Gres=gpu:a100:8 GresUsed=gpu:a100:6(IDX:0-5) OS=Linux RealMemory=64000 AllocMem=2000 State=MIXED Partitions=short,long,preempt,grace
NodeName=gpu2 CPUAlloc=1 CPUEfctv=16 CPUTot=16 ActiveFeatures=(null) Gres=gpu:a100:8 GresUsed=gpu:a100:8(IDX:0-7) OS=Linux RealMemory=64000 AllocMem=1000 State=MIXED Partitions=short,long,preempt,grace
NodeName=gpu3 CPUAlloc=1 CPUEfctv=16 CPUTot=16 ActiveFeatures=(null) Gres=gpu:a100:8 GresUsed=gpu:a100:8(IDX:0-7) OS=Linux RealMemory=64000 AllocMem=1000 State=MIXED Partitions=short,long,preempt,grace
NodeName=gpu4 CPUAlloc=1 CPUEfctv=16 CPUTot=16 ActiveFeatures=(null) Gres=gpu:v100:8 GresUsed=gpu:v100:3(IDX:0-2) OS=Linux RealMemory=64000 AllocMem=1000 State=MIXED Partitions=old,mixed
NodeName=gpu5 CPUAlloc=0 CPUEfctv=16 CPUTot=16 ActiveFeatures=(null) Gres=gpu:nvidia_h100_80gb_hbm3:2,gpu:nvidia_l40s:2,gpu:nvidia_h100_80gb_hbm3_1g.10gb:4 GresUsed=gpu:nvidia_h100_80gb_hbm3:0(IDX:N/A),gpu:nvidia_l40s:0(IDX:N/A),gpu:nvidia_h100_80gb_hbm3_1g.10gb:0(IDX:N/A) OS=Linux RealMemory=64000 AllocMem=0 State=IDLE Partitions=mixed
"""
RESERVATIONS = """\
ReservationName=maint StartTime=1795922231 EndTime=1795925831 Duration=01:00:00 Nodes=gpu3 NodeCnt=1 CoreCnt=16 Features=(null) PartitionName=(null) Flags=MAINT,IGNORE_JOBS,SPEC_NODES TRES=cpu=16 Users=root Groups=(null) Accounts=(null) Licenses=(null) State=INACTIVE BurstBuffer=(null) Watts=n/a MaxStartDelay=(null)
"""
PARTITIONS = """\
PartitionName=short Default=NO MaxNodes=UNLIMITED MaxTime=00:02:00 PriorityTier=2 PreemptMode=OFF State=UP
PartitionName=long Default=YES MaxNodes=UNLIMITED MaxTime=1-00:00:00 PriorityTier=2 PreemptMode=OFF State=UP
PartitionName=preempt Default=NO MaxNodes=UNLIMITED MaxTime=1-00:00:00 PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=old Default=NO MaxNodes=UNLIMITED MaxTime=1-00:00:00 PriorityTier=2 PreemptMode=OFF State=UP
"""
CONFIG = "PreemptType = preempt/partition_prio\nPrivateData = none\n"
