//! Templates that are written to hang a renderer, fill memory or overflow the stack.
//!
//! Each ends within 2 s of its thread's time, takes less than 256 MB, and neither panics nor
//! overflows the stack of a usual thread; what it gives is a text or a typed error.

mod sources;

use std::sync::Mutex;
use std::time::Duration;

use elpis_inference::{
    ChatMessage, ChatTemplate, CivilDateTime, RenderOptions, SpecialTokens, TemplateError,
};
use elpis_testkit::allocator;
use serde_json::json;

use sources::{cycles, nesting, sources_that_strain_the_parser, walks, work_and_size};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

const MAX_SECONDS: f64 = 2.0;
const MAX_BYTES: usize = 256 << 20;

fn render(source: &str) -> Result<String, TemplateError> {
    let template = ChatTemplate::from_source("hostile", source, SpecialTokens::new("<s>", "</s>"))?;
    let messages = [
        ChatMessage::system("s"),
        ChatMessage::user("hello ".repeat(200)),
    ];
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    let options = RenderOptions {
        add_generation_prompt: true,
        tools: Some(&tools),
        now: CivilDateTime::new(2025, 3, 4, 5, 6, 7),
        ..RenderOptions::default()
    };
    template.render(&messages, &options)
}

/// Only one test works at a time, since time and memory are the process's.
static ALONE: Mutex<()> = Mutex::new(());

/// Time that this process has worked, whatever else the machine does.
fn worked() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn check(sources: &[String]) {
    let _alone = ALONE.lock();
    let mut slowest = (0.0, String::new());
    let mut largest = (0, String::new());
    let mut over = 0;
    // All of them take two minutes, one after the other.
    let every = elpis_testkit::repeats(2, 1);
    for source in sources.iter().step_by(every) {
        let start = worked();
        let (result, bytes) = allocator::peak_of_all(|| render(source));
        let seconds = worked().saturating_sub(start).as_secs_f64();
        let from = source.char_indices().rev().nth(70).map_or(0, |(at, _)| at);
        let shown = &source[from..];
        let outcome = result
            .as_ref()
            .map(String::len)
            .map_err(TemplateError::kind);
        if seconds >= MAX_SECONDS || bytes >= MAX_BYTES {
            eprintln!("{seconds:.2} s, {} MB, {outcome:?}: …{shown}", bytes >> 20);
            over += 1;
        }
        if seconds > slowest.0 {
            slowest = (seconds, shown.to_owned());
        }
        if bytes > largest.0 {
            largest = (bytes, shown.to_owned());
        }
    }
    assert_eq!(over, 0, "of {} templates", sources.len());
    println!(
        "{} templates; slowest {slowest:?}, largest {largest:?}",
        sources.len().div_ceil(every)
    );
}

#[test]
fn values_that_share_their_parts_are_not_walked_for_ever() {
    check(&walks());
}

#[test]
fn values_hold_no_cycle_and_do_not_nest_without_end() {
    check(&cycles());
    check(&nesting());
}

#[test]
fn work_and_size_are_bounded() {
    check(&work_and_size());
}

#[test]
fn no_source_overflows_the_stack() {
    check(&sources_that_strain_the_parser());
}
