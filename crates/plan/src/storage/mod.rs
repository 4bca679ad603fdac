//! The disk_config language and its size solver.
