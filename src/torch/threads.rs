//! torch's threads on a CPU that this process shares.

use std::thread::available_parallelism;

/// Lowers torch's number of threads to the CPUs that this process may use. torch counts the machine's
/// cores and does not see a container's quota (cgroups); threads over it take turns in the scheduler
/// inside each of its operations, which makes them up to a thousand times slower.
pub fn limit_threads() {
    let usable = available_parallelism().map_or(1, |usable| usable.get() as i32);
    if tch::get_num_threads() > usable {
        tch::set_num_threads(usable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torch_has_no_more_threads_than_the_process_has_cpus() {
        tch::set_num_threads(1000);
        limit_threads();
        assert_eq!(tch::get_num_threads(), available_parallelism().unwrap().get() as i32);
    }
}
