//! Generations of a step that hangs go on in one engine alone.

use std::sync::Arc;

use loom::thread;

use crate::explore;
use crate::scheduler::lent::Lent;

#[test]
fn what_is_lent_is_taken_or_comes_back_and_never_both() {
    explore(3, || {
        let lent = Arc::<Lent<u32>>::default();
        let watchdog = {
            let lent = Arc::clone(&lent);
            thread::spawn(move || lent.take())
        };
        let mut slots = vec![1, 2];
        for _ in 0..2 {
            drop(lent.lend(&mut slots));
        }
        let taken = watchdog.join().unwrap();
        match slots.as_slice() {
            [] => assert_eq!(taken, [1, 2]),
            all => assert!(all == [1, 2] && taken.is_empty(), "{all:?} {taken:?}"),
        }
        assert!(lent.take().is_empty(), "nothing is left behind");
    });
}
