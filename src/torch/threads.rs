//! torch's threads on a CPU that this process shares.

use std::{
    panic::resume_unwind,
    thread::{self, available_parallelism},
};

use tch::Device;

/// At most so many threads work side by side, for each holds pictures of the video's full size.
const MOST_WORKERS: usize = 4;

/// Lowers torch's number of threads to the CPUs that this process may use. torch counts the machine's
/// cores and does not see a container's quota (cgroups); threads over it take turns in the scheduler
/// inside each of its operations, which makes them up to a thousand times slower.
pub fn limit_threads() {
    let usable = available_parallelism().map_or(1, |usable| usable.get() as i32);
    if tch::get_num_threads() > usable {
        tch::set_num_threads(usable);
    }
}

/// How many threads so many independent pieces of work are worth. On a CPU a thread for each piece is faster than all
/// threads on each tensor operation, most of which are small or wait for memory; a card takes one after the other.
pub fn workers(device: Device, pieces: usize) -> usize {
    match device {
        Device::Cpu => (tch::get_num_threads() as usize).min(MOST_WORKERS).min(pieces).max(1),
        _ => 1,
    }
}

/// Runs `work` on as many threads at once as there are `workers`, each with its share of torch's threads and without
/// gradients, and returns what each of them returned. Called by one that has torch's threads to share out.
///
/// What one thread's `work` changes, no other's may read: nothing checks that, since tensors are not `Sync`.
///
/// # Panics
/// Where `work` does, with its words, once all threads have ended.
pub fn side_by_side<R: Send>(workers: usize, work: impl Fn() -> R) -> Vec<R> {
    if workers <= 1 {
        return vec![work()];
    }
    let threads = tch::get_num_threads();
    let share = Shared(&|| {
        tch::get_num_threads(); // asked for the first time by a thread, it takes on the process's number
        tch::set_num_threads((threads / workers as i32).max(1));
        let _no_grad = tch::no_grad_guard();
        work()
    });
    let ended: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = (0..workers).map(|_| scope.spawn(|| share.get()())).collect();
        started.into_iter().map(|thread| thread.join()).collect()
    });
    tch::set_num_threads(threads); // the process's number, which those of the workers had replaced
    ended.into_iter().map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
}

/// What several threads read at once.
struct Shared<'a, T>(&'a T);

impl<T> Shared<'_, T> {
    fn get(&self) -> &T {
        self.0
    }
}

// SAFETY: libtorch lets any number of threads read a tensor at once; tch does not say so of its own. That nobody changes
// what others read is what `side_by_side` asks of its caller.
unsafe impl<T> Sync for Shared<'_, T> {}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Barrier,
    };

    use super::*;

    #[test]
    fn torch_has_no_more_threads_than_the_process_has_cpus() {
        tch::set_num_threads(1000);
        limit_threads();
        assert_eq!(tch::get_num_threads(), available_parallelism().unwrap().get() as i32);
    }

    #[test]
    fn workers_run_at_once_and_share_torchs_threads() {
        tch::set_num_threads(4);
        let both_are_here = Barrier::new(2);
        let shares = side_by_side(2, || {
            both_are_here.wait();
            tch::get_num_threads()
        });
        assert_eq!((shares, tch::get_num_threads()), (vec![2, 2], 4));
    }

    #[test]
    fn a_worker_that_panics_is_heard_and_the_threads_are_given_back() {
        tch::set_num_threads(2);
        let heard = catch_unwind(AssertUnwindSafe(|| side_by_side::<()>(2, || panic!("a wrong shape"))));
        assert_eq!(heard.unwrap_err().downcast_ref(), Some(&"a wrong shape"));
        assert_eq!(tch::get_num_threads(), 2);
    }

    #[test]
    fn a_card_has_one_worker_and_few_pieces_have_few() {
        tch::set_num_threads(16);
        assert_eq!(workers(Device::Cuda(0), 60), 1);
        assert_eq!([60, 3, 1, 0].map(|pieces| workers(Device::Cpu, pieces)), [MOST_WORKERS, 3, 1, 1]);
    }
}
