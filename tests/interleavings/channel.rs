//! A reply reaches its reader whole and in order, its end comes once, and an engine thread that
//! waits for room is woken.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::engine::signal::Signals;
use crate::engine::stream::channel::{Channel, Next};
use crate::explore;
use crate::signal::block_on;

/// The right to run: given back when it is dropped.
struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct World {
    signals: Arc<Signals>,
    /// Permits that were given back.
    returned: Arc<AtomicUsize>,
    channel: Channel<Permit, u32, &'static str>,
}

/// A channel with room for the texts of one token.
fn world() -> Arc<World> {
    let signals = Arc::<Signals>::default();
    let returned = Arc::new(AtomicUsize::new(0));
    let permit = Permit(Arc::clone(&returned));
    let channel = Channel::new(2, permit, Arc::clone(&signals));
    Arc::new(World {
        signals,
        returned,
        channel,
    })
}

impl World {
    /// Ends the generation as a stream does; tells whether it was the first to do so.
    fn end(&self, how: &'static str) -> bool {
        let Some((permit, mut closing)) = self.channel.end() else {
            return false;
        };
        closing.end = Some(how);
        drop(permit);
        drop(closing);
        true
    }

    /// Generates as the engine thread does, until all is sent or nobody reads.
    fn generate(&self, texts: u32) {
        let mut next = 1;
        loop {
            let seen = self.signals.engine.seen();
            if self.channel.is_closed() {
                self.end("cancelled");
                return;
            }
            if next > texts {
                self.end("done");
                return;
            }
            if self.channel.has_room() {
                self.channel.send(next, |_, _| {});
                next += 1;
            } else {
                self.signals.engine.wait(seen, None);
            }
        }
    }

    fn read(&self) -> Next<u32, &'static str> {
        block_on(|context| self.channel.poll(context))
    }
}

fn spawn(world: &Arc<World>, work: fn(&World)) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || work(&world))
}

#[test]
fn a_reader_gets_every_text_in_order_and_then_the_end_and_the_place_is_free() {
    explore(3, || {
        let world = world();
        let engine = spawn(&world, |world| world.generate(2));
        assert_eq!(world.read(), Next::Text(1));
        assert_eq!(world.read(), Next::Text(2));
        assert_eq!(world.read(), Next::End(Some("done")));
        assert_eq!(world.returned.load(Ordering::SeqCst), 1);
        assert_eq!(world.read(), Next::End(Some("done")), "it stays the end");
        engine.join().unwrap();
    });
}

#[test]
fn an_engine_that_waits_for_a_reader_is_woken_when_it_leaves() {
    explore(3, || {
        let world = world();
        let overdue = world.signals.overdue.seen();
        let engine = spawn(&world, |world| world.generate(3));
        assert_eq!(world.read(), Next::Text(1));
        world.channel.leave();
        engine.join().unwrap();
        assert_eq!(world.returned.load(Ordering::SeqCst), 1);
        // Two texts do not fit, so it cannot have come to its end before.
        assert_ne!(world.signals.overdue.seen(), overdue);
    });
}

#[test]
fn whoever_ends_a_generation_first_ends_it_for_all() {
    explore(3, || {
        let world = world();
        let supervisor = spawn(&world, |world| {
            world.end("restarted");
        });
        let engine = spawn(&world, |world| world.generate(1));
        let mut texts = 0;
        let end = loop {
            match world.read() {
                Next::Text(_) => texts += 1,
                Next::End(end) => break end,
            }
        };
        assert_eq!(world.returned.load(Ordering::SeqCst), 1);
        match end {
            Some("done") => assert_eq!(texts, 1),
            Some("restarted") => assert!(texts <= 1),
            other => panic!("{other:?}"),
        }
        supervisor.join().unwrap();
        engine.join().unwrap();
        assert!(world.channel.take().is_none(), "a text behind the end");
        assert!(world.channel.is_over());
    });
}

#[test]
fn a_reader_is_not_left_alone_by_one_that_breaks_while_it_ends() {
    explore(3, || {
        let world = world();
        let engine = spawn(&world, |world| {
            world.channel.send(1, |_, _| {});
            // As if it had panicked before it knew how.
            drop(world.channel.end());
        });
        assert_eq!(world.read(), Next::Text(1));
        assert_eq!(world.read(), Next::End(None));
        engine.join().unwrap();
    });
}
