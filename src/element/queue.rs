//! A bounded queue of frames with the events between them. Pure: no GStreamer, no clock, no lock.
//!
//! Frames count against the capacity, everything else always finds room: an event must never wait for a
//! frame to leave. A flush begins a new *generation*; what was made for an older one is refused.

use std::collections::VecDeque;

/// What the queue must know of its items.
pub trait Queued {
    /// A frame, which counts against the capacity.
    fn is_frame(&self) -> bool;
    /// Must come out even if a flush happens meanwhile (GStreamer's sticky events).
    fn survives_flush(&self) -> bool;
}

/// Answer to [`Queue::push`]; an item that was not taken comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Push<T> {
    /// Taken.
    Queued,
    /// No room for a frame: wait and try again.
    Full(T),
    /// Made for a generation that has passed: drop it.
    Stale(T),
    /// Flushing: drop it.
    Closed(T),
}

impl<T> Push<T> {
    /// Whether the item was taken.
    pub fn is_queued(&self) -> bool {
        matches!(self, Self::Queued)
    }
}

/// Answer to [`Queue::pop`].
#[derive(Debug, PartialEq, Eq)]
pub enum Pop<T> {
    /// The oldest item.
    Item(T),
    /// Nothing there: wait and try again.
    Empty,
    /// Flushing.
    Closed,
}

/// A bounded queue.
#[derive(Debug)]
pub struct Queue<T> {
    items: VecDeque<T>,
    frames: usize,
    capacity: usize,
    generation: u64,
    open: bool,
}

impl<T: Queued> Queue<T> {
    /// An open, empty queue for `capacity` frames (at least one).
    pub fn new(capacity: usize) -> Self {
        Self { items: VecDeque::new(), frames: 0, capacity: capacity.max(1), generation: 0, open: true }
    }

    /// How many frames it takes from now on; frames above that stay.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
    }

    /// How many frames it takes.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Frames waiting.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Changes with each flush.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The oldest item.
    pub fn front(&self) -> Option<&T> {
        self.items.front()
    }

    /// The items, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// The same, to be changed; a frame must stay a frame.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut()
    }

    /// Takes the item at `index` out of the middle.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        let item = self.items.remove(index)?;
        self.frames -= usize::from(item.is_frame());
        Some(item)
    }

    /// Appends `item`, which was made for `generation`.
    pub fn push(&mut self, item: T, generation: u64) -> Push<T> {
        if !self.open {
            Push::Closed(item)
        } else if generation != self.generation {
            Push::Stale(item)
        } else if item.is_frame() && self.frames >= self.capacity {
            Push::Full(item)
        } else {
            self.frames += usize::from(item.is_frame());
            self.items.push_back(item);
            Push::Queued
        }
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Pop<T> {
        if !self.open {
            return Pop::Closed;
        }
        match self.items.pop_front() {
            Some(item) => {
                self.frames -= usize::from(item.is_frame());
                Pop::Item(item)
            }
            None => Pop::Empty,
        }
    }

    /// Closes the queue and begins a new generation. Items stay until [`reopen`](Self::reopen) sorts them.
    pub fn close(&mut self) {
        self.open = false;
        self.generation += 1;
    }

    /// Opens the queue after [`close`](Self::close), keeping only what survives a flush.
    pub fn reopen(&mut self) {
        self.open = true;
        self.retain(T::survives_flush);
    }

    /// Drops the frames and begins a new generation, but stays open: downstream wants no more frames.
    pub fn discard_frames(&mut self) {
        self.generation += 1;
        self.retain(|item| !item.is_frame());
    }

    fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.items.retain(keep);
        self.frames = self.items.iter().filter(|item| item.is_frame()).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Item {
        Frame(u32),
        Sticky(u32),
        Loose(u32),
    }
    use Item::{Frame, Loose, Sticky};

    impl Queued for Item {
        fn is_frame(&self) -> bool {
            matches!(self, Frame(_))
        }
        fn survives_flush(&self) -> bool {
            matches!(self, Sticky(_))
        }
    }

    fn filled(capacity: usize, items: &[Item]) -> Queue<Item> {
        let mut queue = Queue::new(capacity);
        for item in items {
            assert_eq!(queue.push(item.clone(), 0), Push::Queued);
        }
        queue
    }

    fn drained(queue: &mut Queue<Item>) -> Vec<Item> {
        std::iter::from_fn(|| match queue.pop() {
            Pop::Item(item) => Some(item),
            Pop::Empty | Pop::Closed => None,
        })
        .collect()
    }

    #[test]
    fn only_frames_need_room() {
        for (capacity, held, next, taken) in [
            (1, vec![], Frame(0), true),
            (1, vec![Frame(0)], Frame(1), false),
            (1, vec![Frame(0)], Loose(1), true),
            (1, vec![Frame(0)], Sticky(1), true),
            (1, vec![Loose(0), Sticky(1)], Frame(2), true),
            (2, vec![Frame(0), Loose(1)], Frame(2), true),
            (2, vec![Frame(0), Frame(1)], Frame(2), false),
            (0, vec![], Frame(0), true), // a capacity of none would never let anything through
        ] {
            let answer = filled(capacity, &held).push(next.clone(), 0);
            let expected = if taken { Push::Queued } else { Push::Full(next.clone()) };
            assert_eq!(answer, expected, "{next:?} after {held:?} in {capacity}");
        }
    }

    #[test]
    fn items_leave_in_their_order_and_make_room() {
        let mut queue = filled(2, &[Frame(0), Loose(1), Frame(2)]);
        assert_eq!(queue.pop(), Pop::Item(Frame(0)));
        assert_eq!(queue.push(Frame(3), 0), Push::Queued);
        assert_eq!(drained(&mut queue), [Loose(1), Frame(2), Frame(3)]);
        assert_eq!((queue.frames(), queue.pop()), (0, Pop::Empty));
    }

    #[test]
    fn a_flush_keeps_sticky_items_and_refuses_the_old_generation() {
        let mut queue = filled(4, &[Sticky(0), Frame(1), Loose(2), Sticky(3), Frame(4)]);
        queue.close();
        assert_eq!(queue.pop(), Pop::Closed);
        assert_eq!(queue.push(Sticky(5), 1), Push::Closed(Sticky(5)));
        queue.reopen();
        assert_eq!(queue.push(Frame(6), 0), Push::Stale(Frame(6)));
        assert_eq!(queue.push(Frame(7), queue.generation()), Push::Queued);
        assert_eq!(queue.frames(), 1);
        assert_eq!(drained(&mut queue), [Sticky(0), Sticky(3), Frame(7)]);
    }

    #[test]
    fn an_item_taken_out_of_the_middle_makes_room() {
        let mut queue = filled(2, &[Frame(0), Loose(1), Frame(2)]);
        assert_eq!(queue.remove(2), Some(Frame(2)));
        assert_eq!((queue.remove(2), queue.frames()), (None, 1));
        assert_eq!(queue.push(Frame(3), 0), Push::Queued);
        assert_eq!(drained(&mut queue), [Frame(0), Loose(1), Frame(3)]);
    }

    #[test]
    fn discarding_frames_leaves_every_event() {
        let mut queue = filled(4, &[Frame(0), Loose(1), Sticky(2), Frame(3)]);
        queue.discard_frames();
        assert_eq!(queue.push(Frame(4), 0), Push::Stale(Frame(4)));
        assert_eq!(queue.frames(), 0);
        assert_eq!(drained(&mut queue), [Loose(1), Sticky(2)]);
    }

    /// What may happen to a queue.
    #[derive(Debug, Clone)]
    enum Step {
        /// An item of this kind (0: a frame), made for the present generation or for the one before.
        Push(u8, bool),
        Pop,
        Remove(usize),
        Close,
        Reopen,
        Discard,
        Capacity(usize),
    }

    fn step() -> impl proptest::strategy::Strategy<Value = Step> {
        use proptest::prelude::*;
        prop_oneof![
            8 => (0u8..3, any::<bool>()).prop_map(|(kind, late)| Step::Push(kind, late)),
            4 => Just(Step::Pop),
            1 => (0usize..6).prop_map(Step::Remove),
            1 => Just(Step::Close),
            2 => Just(Step::Reopen),
            1 => Just(Step::Discard),
            1 => (0usize..5).prop_map(Step::Capacity),
        ]
    }

    /// The same as plainly as it can be said: a list, and whether it is open.
    fn in_words(
        items: &mut Vec<Item>,
        open: &mut bool,
        step: &Step,
        item: &Item,
        capacity: usize,
    ) -> Vec<Item> {
        let frames = items.iter().filter(|item| item.is_frame()).count();
        match step {
            Step::Push(_, false) if *open && !(item.is_frame() && frames >= capacity) => {
                items.push(item.clone());
                vec![item.clone()]
            }
            Step::Pop if *open && !items.is_empty() => vec![items.remove(0)],
            Step::Remove(index) if *index < items.len() => vec![items.remove(*index)],
            Step::Close => {
                *open = false;
                vec![]
            }
            Step::Reopen => {
                *open = true;
                items.retain(|item| matches!(item, Sticky(_)));
                vec![]
            }
            Step::Discard => {
                items.retain(|item| !item.is_frame());
                vec![]
            }
            _ => vec![],
        }
    }

    /// What was taken or given.
    fn done(queue: &mut Queue<Item>, step: &Step, item: &Item) -> Vec<Item> {
        match *step {
            Step::Push(_, late) => {
                let generation = queue.generation().wrapping_sub(u64::from(late));
                queue.push(item.clone(), generation).is_queued().then(|| item.clone()).into_iter().collect()
            }
            Step::Pop => match queue.pop() {
                Pop::Item(item) => vec![item],
                Pop::Empty | Pop::Closed => vec![],
            },
            Step::Remove(index) => queue.remove(index).into_iter().collect(),
            Step::Close => {
                queue.close();
                vec![]
            }
            Step::Reopen => {
                queue.reopen();
                vec![]
            }
            Step::Discard => {
                queue.discard_frames();
                vec![]
            }
            Step::Capacity(capacity) => {
                queue.set_capacity(capacity);
                vec![]
            }
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig {
            rng_seed: proptest::test_runner::RngSeed::Fixed(2312),
            failure_persistence: None,
            ..Default::default()
        })]

        #[test]
        fn any_sequence_does_what_a_list_does(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut queue, mut items, mut open) = (Queue::new(2), Vec::new(), true);
            for (number, step) in steps.iter().enumerate() {
                let item = match step {
                    Step::Push(1, _) => Sticky(number as u32),
                    Step::Push(2, _) => Loose(number as u32),
                    _ => Frame(number as u32),
                };
                let capacity = queue.capacity();
                let expected = in_words(&mut items, &mut open, step, &item, capacity);
                assert_eq!(done(&mut queue, step, &item), expected, "{step:?}");
                assert!(queue.iter().eq(&items), "{step:?}");
                assert_eq!(queue.frames(), items.iter().filter(|item| item.is_frame()).count());
            }
        }
    }
}
