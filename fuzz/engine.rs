//! An engine whose bounds are met soon, for the targets that step one.

use std::sync::{Arc, LazyLock};

use shewhart::engine::baseline::BaselineSet;
use shewhart::engine::rule::{RuleSet, Source, compile};
use shewhart::engine::units::{Offset, Partition, Timestamp};
use shewhart::engine::{Effect, Engine, Input, Settings};

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let text = include_str!("rules.yaml").to_owned();
    Arc::new(compile(&[Source { name: "rules.yaml".to_owned(), text }]).rules.expect("they compile"))
});

pub fn engine() -> Engine {
    let settings = Settings { provisional_outputs: 3, recent_outputs: 8, streams_max: 4, ..Settings::default() };
    Engine::new(Partition(0), Arc::new(settings), RULES.clone(), Arc::new(BaselineSet::default()))
}

/// Steps the record at that place of the log; a minute passes from one to the next.
pub fn step(engine: &mut Engine, at: usize, payload: &[u8], effects: &mut Vec<Effect>) {
    let at = i64::try_from(at).expect("inputs are short");
    let appended = Some(Timestamp::from_millis(1_767_571_200_000 + at * 60_000));
    engine.step(Input::Record { offset: Offset(at), appended, payload }, effects);
}
