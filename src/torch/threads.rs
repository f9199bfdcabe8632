//! torch's threads on a CPU that this process shares.

use std::{
    collections::VecDeque,
    iter,
    panic::resume_unwind,
    thread::{self, available_parallelism},
};

use parking_lot::Mutex;
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

/// What `job` makes of each of `items`, in their order: on several threads, begun in that order, where [`workers`] says so, each
/// with its share of torch's threads and without gradients. Called by one that has torch's threads to share out.
///
/// What `job` changes for one item, no other item's may read: nothing checks that, since tensors are not `Sync`.
///
/// # Errors
/// Those of `job`, the first item's first; after one, no further item is begun.
///
/// # Panics
/// Where `job` does, with its words, once all threads have ended.
pub fn side_by_side<T, R: Send, E: Send>(
    device: Device,
    items: Vec<T>,
    job: impl Fn(T) -> Result<R, E>,
) -> Result<Vec<R>, E> {
    let workers = workers(device, items.len());
    if workers == 1 {
        return items.into_iter().map(job).collect();
    }
    let queue = Mutex::new(items.into_iter().enumerate().collect::<VecDeque<_>>());
    let next = || queue.lock().pop_front();
    let one = |(index, item)| {
        let result = job(item);
        if result.is_err() {
            queue.lock().clear();
        }
        (index, result)
    };
    let shares = on_threads(workers, || iter::from_fn(next).map(one).collect::<Vec<_>>());
    let mut results: Vec<_> = shares.into_iter().flatten().collect();
    results.sort_unstable_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What `work` returned on each of so many threads at once.
fn on_threads<R: Send>(workers: usize, work: impl Fn() -> R) -> Vec<R> {
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
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use super::*;

    #[test]
    fn torch_has_no_more_threads_than_the_process_has_cpus() {
        tch::set_num_threads(1000);
        limit_threads();
        assert_eq!(tch::get_num_threads(), available_parallelism().unwrap().get() as i32);
    }

    #[test]
    fn workers_run_at_once_share_torchs_threads_and_answer_in_order() {
        tch::set_num_threads(4);
        let both_are_here = Barrier::new(2);
        let job = |item: usize| {
            both_are_here.wait();
            Ok::<_, ()>((item, tch::get_num_threads()))
        };
        let answers = side_by_side(Device::Cpu, vec![7, 5], job);
        assert_eq!((answers, tch::get_num_threads()), (Ok(vec![(7, 2), (5, 2)]), 4));
    }

    #[test]
    fn after_an_error_nothing_more_is_begun() {
        tch::set_num_threads(2);
        let begun = AtomicUsize::new(0);
        let job = |item: usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if item == 0 { Err("no") } else { Ok(thread::sleep(Duration::from_millis(50))) }
        };
        assert_eq!(side_by_side(Device::Cpu, (0..50).collect(), job), Err("no"));
        assert!(begun.into_inner() < 10);
    }

    #[test]
    fn a_worker_that_panics_is_heard_and_the_threads_are_given_back() {
        tch::set_num_threads(2);
        let job = |()| -> Result<(), ()> { panic!("a wrong shape") };
        let heard = catch_unwind(AssertUnwindSafe(|| side_by_side(Device::Cpu, vec![(); 2], job)));
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
