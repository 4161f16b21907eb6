//! The engines of several partitions, and the limits that they have designed.
//!
//! A design costs milliseconds and is a function of its arguments, so what one engine has designed serves all of them. The
//! memory of designs goes to the engine that is about to be stepped, and from there to the next one: no lock, no second owner.

use std::collections::BTreeMap;

use super::Engine;
use super::detect::DesignCache;
use super::units::Partition;

/// Engines by partition.
#[derive(Debug, Default)]
pub struct Engines {
    by_partition: BTreeMap<Partition, Engine>,
    /// The memory of designs; while it is lent, the empty one of the engine that has it.
    designs: DesignCache,
    lent_to: Option<Partition>,
}

impl Engines {
    /// The engine of a partition, to be stepped.
    pub fn get_mut(&mut self, partition: Partition) -> Option<&mut Engine> {
        if self.lent_to != Some(partition) {
            self.take_back();
            self.by_partition.get_mut(&partition)?.trade_designs(&mut self.designs);
            self.lent_to = Some(partition);
        }
        self.by_partition.get_mut(&partition)
    }

    /// Takes up an engine, in place of the one that the partition had.
    pub fn insert(&mut self, engine: Engine) {
        self.take_back();
        self.by_partition.insert(engine.partition(), engine);
    }

    /// Keeps engines of some partitions only.
    pub fn retain(&mut self, keeps: impl Fn(Partition) -> bool) {
        self.take_back();
        self.by_partition.retain(|partition, _| keeps(*partition));
    }

    fn take_back(&mut self) {
        if let Some(engine) = self.lent_to.take().and_then(|partition| self.by_partition.get_mut(&partition)) {
            engine.trade_designs(&mut self.designs);
        }
    }

    /// The engine of a partition, to be looked at.
    pub fn get(&self, partition: Partition) -> Option<&Engine> {
        self.by_partition.get(&partition)
    }

    /// All of them, in the order of their partitions.
    pub fn iter(&self) -> impl Iterator<Item = &Engine> {
        self.by_partition.values()
    }

    /// All of them, to be written down. Where one is stepped, what it designs is not for the others.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Engine> {
        self.by_partition.values_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Settings;
    use super::super::rule::RuleSet;
    use super::*;

    fn engines(partitions: &[i32]) -> Engines {
        let mut engines = Engines::default();
        for partition in partitions {
            let settings = Settings::default().into();
            engines.insert(Engine::new(
                Partition(*partition),
                settings,
                Arc::new(RuleSet::new(Vec::new())),
                Arc::default(),
            ));
        }
        engines
    }

    fn design(engines: &mut Engines, partition: i32, arl0: f64) -> usize {
        let engine = engines.get_mut(Partition(partition)).unwrap();
        engine.cache.normal_limit(0.5, arl0);
        engine.cache.len()
    }

    #[test]
    fn what_one_designs_serves_all_and_outlives_it() {
        let mut engines = engines(&[0, 1, 2]);
        assert_eq!((design(&mut engines, 0, 100.0), design(&mut engines, 0, 200.0)), (1, 2));
        assert_eq!((design(&mut engines, 1, 100.0), design(&mut engines, 2, 300.0)), (2, 3));
        assert!(engines.get_mut(Partition(7)).is_none());
        assert_eq!(design(&mut engines, 2, 200.0), 3);
        // The one that has them goes, or another takes its place.
        engines.retain(|partition| partition == Partition(1));
        assert_eq!(design(&mut engines, 1, 400.0), 4);
        let settings = Settings::default().into();
        engines.insert(Engine::new(Partition(1), settings, Arc::new(RuleSet::new(Vec::new())), Arc::default()));
        assert_eq!(design(&mut engines, 1, 400.0), 4);
        assert_eq!(engines.iter().filter(|engine| !engine.cache.is_empty()).count(), 1);
    }
}
