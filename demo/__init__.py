"""The main job, shown: a cluster in the local Azure, built, given jobs, followed by passes, and taken down."""
