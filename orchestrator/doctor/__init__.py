"""What `daa doctor` looks at on one machine, and what it concludes; the cluster is looked at in orchestrator/cluster/checks/doctor.py."""
