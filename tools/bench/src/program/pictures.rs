//! `uswitch-bench pictures FOLDER`: the pictures of the README, measured and drawn anew.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Parser};
use serde_json::Value;
use uswitch_bench::{device::Folder, page::pictures};

use super::{
    Ending,
    cli::Cli,
    perform,
    report::{self, told},
};

/// Where pictures go, and of what they are.
#[derive(Debug, Args)]
pub(crate) struct Pictures {
    /// Where throughput.svg, latency.svg and load.svg go
    folder: PathBuf,
    /// Draw what was measured before, what --output of `throughput` and of `scale --over load`
    /// wrote
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// Where `uswitch` is, if not beside this program or in PATH
    #[arg(long, value_name = "PATH")]
    uswitch: Option<PathBuf>,
    /// What is measured instead is of no use but to try it: it takes a few seconds
    #[arg(long, hide = true)]
    tiny: bool,
}

/// What is measured: on a quiet machine of two processors this takes less than five minutes.
const MEASURED: [&str; 2] = [
    "throughput --device uswitch,uswitch-packet,bridge,vde,ovs --size 60,508,1020,1514 --rounds 3 \
     --trial 0.3 --resolution 0.03",
    "scale --over load --device loop,uswitch,uswitch-packet,bridge,vde,ovs --size 60 --rounds 3 \
     --trial 0.3 --resolution 0.03",
];

const TINY: [&str; 2] = [
    "throughput --device uswitch,bridge --size 60,1514 --rounds 1 --trial 0.02 --resolution 0.4 \
     --no-calibrate",
    "scale --over load --device uswitch,bridge --rounds 1 --trial 0.02 --resolution 0.4",
];

pub(crate) fn run(options: &Pictures) -> io::Result<Ending> {
    if !options.folder.is_dir() {
        let text = format!("`{}` is no folder", options.folder.display());
        return Err(io::Error::other(text));
    }
    let mut lines = Vec::new();
    for file in &options.from {
        lines.extend(report::lines_of(file)?);
    }
    if options.from.is_empty() {
        let folder = Folder::new("pictures")?;
        let sequence = if options.tiny { TINY } else { MEASURED };
        for (index, words) in sequence.into_iter().enumerate() {
            let file = folder.path().join(index.to_string());
            if measure(options, words, &file)? == Ending::Stopped {
                return Ok(Ending::Stopped);
            }
            lines.extend(report::lines_of(&file)?);
        }
    }
    draw(options, &lines)
}

/// Does what these words of a command line say, and writes what was found.
fn measure(options: &Pictures, words: &str, file: &Path) -> io::Result<Ending> {
    report::print(&format!("uswitch-bench {words}\n"))?;
    let mut all: Vec<_> = vec!["uswitch-bench".into()];
    all.extend(words.split_whitespace().map(Into::into));
    all.extend(["--output".into(), file.as_os_str().to_owned()]);
    if let Some(path) = &options.uswitch {
        all.extend(["--uswitch".into(), path.as_os_str().to_owned()]);
    }
    let cli = Cli::try_parse_from(all).expect("these words make sense");
    perform(&cli.command)
}

fn draw(options: &Pictures, lines: &[Value]) -> io::Result<Ending> {
    let drawn = pictures::pictures(lines);
    if drawn.is_empty() {
        let text = "there is nothing to be drawn: it takes what `throughput --output FILE` and \
                    `scale --over load --output FILE` write";
        return Err(io::Error::other(text));
    }
    for (name, svg) in drawn {
        let path = options.folder.join(name);
        fs::write(&path, svg).map_err(|error| told(&path, &error))?;
        report::print(&format!("{}\n", path.display()))?;
    }
    Ok(Ending::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_makes_sense() {
        for words in [MEASURED, TINY].concat() {
            let all = ["uswitch-bench"].into_iter().chain(words.split_whitespace());
            assert!(Cli::try_parse_from(all).is_ok(), "{words}");
        }
    }
}
