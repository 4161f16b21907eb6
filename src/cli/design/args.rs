//! The words of `shewhart design`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::args::Format;
use crate::engine::rule::{Quantity, QuantityError, Unit, quantity};

/// `design`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub struct DesignArgs {
    /// What to compute.
    #[command(subcommand)]
    pub command: Option<DesignCommand>,
    /// Answer the known-answer cases of a JSON file, or of standard input (-)
    #[arg(long, value_name = "FILE")]
    pub cases: Option<PathBuf>,
}

/// What can be computed.
#[derive(Debug, Subcommand)]
pub enum DesignCommand {
    /// CUSUM of a share: limit from a promise, delays
    #[command(after_help = "Example: shewhart design cusum --p0 0.08 --drop 2pp --arl0 20000")]
    Cusum(CusumArgs),
    /// CUSUM of means: limit from a promise, run lengths
    #[command(after_help = "Example: shewhart design normal --shift 1sd --arl0 500 --sides two")]
    Normal(NormalArgs),
    /// The default alarm of a share, a mixture e-detector: limit, arms, head starts, run lengths
    #[command(after_help = "Example: shewhart design esr --p0 0.08 --drop 2pp --arl0 20000")]
    Esr(EsrArgs),
    /// EWMA of means: width of the limits from a promise, run lengths
    #[command(after_help = "Example: shewhart design ewma --lambda 0.1 --arl0 500 --limits time-varying")]
    Ewma(EwmaArgs),
    /// MEWMA of several means together: limit from a promise, with what an estimated baseline adds
    #[command(after_help = "Example: shewhart design mewma --characteristics 4 --arl0 2160 --baseline 500")]
    Mewma(MewmaArgs),
    /// PSI of windows: limit from a promise
    #[command(after_help = "Example: shewhart design psi --bins 10 --window 500 --baseline 5000 --arl0 2160")]
    Psi(PsiArgs),
    /// Run rules of Western Electric and Nelson: exact run lengths
    #[command(after_help = "Example: shewhart design rules --set western-electric --rules 1,2,3,4")]
    Rules(RulesArgs),
    /// What a baseline's own error costs: the level to design for, its limit, its price, the labels needed
    #[command(
        after_help = "Example: shewhart design baseline --errors 160 --n0 2000 --drop 2pp --guarantee 0.75 --arl0 20000"
    )]
    Baseline(BaselineErrorArgs),
    /// Intervals of a share
    #[command(after_help = "Example: shewhart design interval --hits 40 --n 500")]
    Interval(IntervalArgs),
}

/// `design cusum`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CusumArgs {
    /// The share of errors in control, like 0.08 or 8%
    #[arg(long, value_parser = share)]
    pub p0: f64,
    /// The drop of accuracy that matters, like 2pp
    #[arg(long, value_parser = points)]
    pub drop: f64,
    /// The promise: labelled outputs between false alarms
    #[arg(long, value_parser = count)]
    pub arl0: f64,
    /// How many times as much as by chance the counts vary: the limit is the scaled closed form then
    #[arg(long, value_parser = spread, default_value_t = 1.0)]
    pub phi: f64,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `design normal`.
#[derive(Clone, Copy, Debug, Args)]
pub struct NormalArgs {
    /// The shift that matters, in standard deviations of a value, like 1sd; k is half of it
    #[arg(long, value_parser = deviations)]
    pub shift: f64,
    /// The promise: values between false alarms
    #[arg(long, value_parser = count)]
    pub arl0: f64,
    /// Which directions alarm
    #[arg(long, value_enum, default_value_t)]
    pub sides: Sides,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `design esr`.
#[derive(Clone, Copy, Debug, Args)]
pub struct EsrArgs {
    /// The share of errors in control, like 0.08 or 8%
    #[arg(long, value_parser = share)]
    pub p0: f64,
    /// The drop of accuracy that matters, like 2pp
    #[arg(long, value_parser = points)]
    pub drop: f64,
    /// The promise: labelled outputs between false alarms
    #[arg(long, value_parser = count)]
    pub arl0: f64,
    /// How many times as much as by chance batches vary
    #[arg(long, value_parser = spread, default_value_t = 1.0)]
    pub phi: f64,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `design ewma`.
#[derive(Clone, Copy, Debug, Args)]
pub struct EwmaArgs {
    /// Weight of the newest value, above 0 and at most 1
    #[arg(long, value_parser = weight)]
    pub lambda: f64,
    /// The promise: values between false alarms
    #[arg(long, value_parser = count)]
    pub arl0: f64,
    /// Whether the limits are narrower in the beginning
    #[arg(long, value_enum, default_value_t)]
    pub limits: Limits,
    /// Which directions alarm
    #[arg(long, value_enum, default_value_t = Sides::Two)]
    pub sides: Sides,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `design mewma`.
#[derive(Clone, Copy, Debug, Args)]
pub struct MewmaArgs {
    /// How many means are watched together
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub characteristics: u16,
    /// Weight of the newest vector, from 0.01 to 1
    #[arg(long, value_parser = weight, default_value_t = 0.1)]
    pub weight: f64,
    /// The promise: vectors between false alarms
    #[arg(long, value_parser = count)]
    pub arl0: f64,
    /// Vectors that mean and covariance are estimated from; known where not given
    #[arg(long)]
    pub baseline: Option<u64>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `design psi`.
#[derive(Clone, Copy, Debug, Args)]
pub struct PsiArgs {
    /// Bins of the histogram
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub bins: u32,
    /// Values in a window
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub window: u64,
    /// Values in the baseline
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub baseline: u64,
    /// The promise: windows between false alarms
    #[arg(long, value_parser = count)]
    pub arl0: f64,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `design rules`.
#[derive(Clone, Debug, Args)]
pub struct RulesArgs {
    /// Whose rules
    #[arg(long, value_enum)]
    pub set: RuleSetName,
    /// Their numbers; all where not given
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=8))]
    pub rules: Vec<u8>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `design baseline`.
#[derive(Clone, Copy, Debug, Args)]
pub struct BaselineErrorArgs {
    /// Errors among the labels of the baseline
    #[arg(long)]
    pub errors: u64,
    /// Labels of the baseline
    #[arg(long)]
    pub n0: u64,
    /// The drop of accuracy that matters, like 2pp
    #[arg(long, value_parser = points)]
    pub drop: f64,
    /// The share of baselines like this for which the promise is to be kept
    #[arg(long, value_parser = share, default_value_t = 0.75)]
    pub guarantee: f64,
    /// The promise: labelled outputs between false alarms
    #[arg(long, value_parser = count)]
    pub arl0: f64,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// `design interval`.
#[derive(Clone, Copy, Debug, Args)]
pub struct IntervalArgs {
    /// Cases in which it happened
    #[arg(long)]
    pub hits: u64,
    /// All cases
    #[arg(long)]
    pub n: u64,
    /// The confidence of the intervals
    #[arg(long, value_parser = share, default_value_t = 0.95)]
    pub confidence: f64,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Which directions of a change alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sides {
    /// One.
    #[default]
    One,
    /// Both.
    Two,
}

/// The limits of an EWMA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Limits {
    /// Those of the long run.
    #[default]
    Fixed,
    /// Those of the statistic's own variance.
    TimeVarying,
}

/// Whose run rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuleSetName {
    /// 1 to 4 of 1956.
    WesternElectric,
    /// 1 to 8 of 1984.
    Nelson,
}

fn read(text: &str) -> Result<Quantity, String> {
    quantity(text).map_err(|fault| match fault {
        QuantityError::NoNumber => "this does not begin with a number".to_owned(),
        QuantityError::NotFinite => "this number is too large".to_owned(),
        QuantityError::UnknownUnit(unit) => format!("no unit is called `{unit}`"),
    })
}

/// A share strictly between 0 and 1, also as a percentage.
fn share(text: &str) -> Result<f64, String> {
    let share = match read(text)? {
        Quantity { number, unit: Unit::None } => number,
        Quantity { number, unit: Unit::Percent } => number / 100.0,
        _ => return Err("a share has no unit but %: write it like 0.08 or 8%".to_owned()),
    };
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("a share lies above 0 and below 1, like 0.08".to_owned()) }
}

/// A drop in points, as a share.
fn points(text: &str) -> Result<f64, String> {
    match read(text)? {
        Quantity { number, unit: Unit::Points } if number > 0.0 && number < 100.0 => Ok(number / 100.0),
        Quantity { unit: Unit::Points, .. } => Err("a drop lies above 0pp and below 100pp".to_owned()),
        Quantity { number, .. } => Err(format!("a drop is written in points: {number}pp")),
    }
}

/// A shift in standard deviations.
fn deviations(text: &str) -> Result<f64, String> {
    match read(text)? {
        Quantity { number, unit: Unit::Deviations } if (0.02..=20.0).contains(&number) => Ok(number),
        Quantity { unit: Unit::Deviations, .. } => Err("a shift lies between 0.02sd and 20sd".to_owned()),
        Quantity { number, .. } => Err(format!("a shift is written in standard deviations: {number}sd")),
    }
}

/// A promise: a plain number above 1.
fn count(text: &str) -> Result<f64, String> {
    match read(text)? {
        Quantity { number, unit: Unit::None } if number > 1.0 && number <= 1e12 => Ok(number),
        Quantity { unit: Unit::None, .. } => Err("a promise lies above 1 and is at most 1e12".to_owned()),
        _ => Err("a promise counts samples and has no unit: write it like 20000".to_owned()),
    }
}

/// A weight of the newest value.
fn weight(text: &str) -> Result<f64, String> {
    match read(text)? {
        Quantity { number, unit: Unit::None } if (0.001..=1.0).contains(&number) => Ok(number),
        _ => Err("a weight lies between 0.001 and 1 and has no unit, like 0.1".to_owned()),
    }
}

/// A variance in units of chance's.
fn spread(text: &str) -> Result<f64, String> {
    match read(text)? {
        Quantity { number, unit: Unit::None } if (1.0..=1_000.0).contains(&number) => Ok(number),
        _ => Err("a spread lies between 1 (by chance) and 1000 and has no unit, like 1.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_units_that_they_need() {
        assert_eq!((share("0.08"), share("8%")), (Ok(0.08), Ok(0.08)));
        assert_eq!((points("2pp"), deviations(" 0.5 sd")), (Ok(0.02), Ok(0.5)));
        assert_eq!((count("20000"), weight("0.1"), spread("1.5")), (Ok(20_000.0), Ok(0.1), Ok(1.5)));
        for (read, text) in [
            (share as fn(&str) -> Result<f64, String>, "0"),
            (share, "100%"),
            (share, "8pp"),
            (points, "0.02"),
            (points, "-2pp"),
            (points, "100pp"),
            (deviations, "0sd"),
            (deviations, "1"),
            (count, "1"),
            (count, "5%"),
            (count, "1e13"),
            (weight, "0"),
            (weight, "10%"),
            (spread, "0.5"),
            (spread, "nan"),
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
