//! What is printed at the end.

use crate::measure::{Figure, Figures};

/// A figure of one contender by that of another, by their names, and what it must be. Two names
/// with a bar between stand for the slower of both.
pub struct Ratio(pub (&'static str, &'static str), pub Figure, pub Goal);

/// What a ratio must be.
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is only told.
    Told,
}

/// Medians of all rounds, a line a contender.
pub fn print_medians(names: &[&str], figures: &[Vec<Figures>]) {
    print!("{:<25}", "median of rounds");
    for figure in Figure::ALL {
        print!("{:>12}", figure.name());
    }
    println!();
    for (name, rounds) in names.iter().zip(figures) {
        print!("{name:<25}");
        for figure in Figure::ALL {
            let samples = rounds.iter().map(|round| round[figure as usize]).collect();
            print!("{:>12.2}", median(samples));
        }
        println!();
    }
}

/// The ratios whose contenders took part: median, smallest and largest of the rounds.
pub fn print_ratios(names: &[&str], figures: &[Vec<Figures>], ratios: &[Ratio]) {
    println!("\n{:<66}{:>7}{:>16}  goal", "ratio, round by round", "median", "min ... max");
    for Ratio((above, below), figure, goal) in ratios {
        let value = |round: &Figures| round[*figure as usize];
        let rounds = |name: &str| {
            let index = names.iter().position(|n| *n == name)?;
            Some(figures[index].iter().map(value).collect::<Vec<f64>>())
        };
        let slower = |all: &str| {
            let each =
                |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).map(|(a, b)| a.min(*b)).collect();
            let all = all.split('|').map(rounds).collect::<Option<Vec<_>>>()?;
            all.into_iter().reduce(each)
        };
        let (Some(above_rounds), Some(below_rounds)) = (rounds(above), slower(below)) else {
            continue;
        };
        let mut samples: Vec<f64> =
            above_rounds.iter().zip(&below_rounds).map(|(a, b)| a / b).collect();
        samples.sort_by(f64::total_cmp);
        let (least, most) = (samples[0], samples[samples.len() - 1]);
        let middle = median(samples);
        let verdict = match goal {
            Goal::AtLeast(goal) => format!(">= {goal}: {}", reached(middle >= *goal)),
            Goal::AtMost(goal) => format!("<= {goal}: {}", reached(middle <= *goal)),
            Goal::Told => String::new(),
        };
        let below = if below.contains('|') { "slower of both" } else { below };
        let what = format!("{}: {above} / {below}", figure.name());
        println!("{what:<66}{middle:>7.2}{least:>7.2} ... {most:<5.2}  {verdict}");
    }
}

fn reached(reached: bool) -> &'static str {
    if reached { "reached" } else { "missed" }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let (low, high) = (samples[(samples.len() - 1) / 2], samples[samples.len() / 2]);
    (low + high) / 2.0
}
