//! How deep a dial cuts: the rules that a position of the dial switches on.

use crate::dial::Dial;
use crate::kind::ResultKind;
use crate::plan::Lever;
use crate::provider::Provider;

/// When a tool's result may be shortened, and to what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shorten {
    /// So many replies must follow it.
    pub(crate) after: usize,
    /// Shorter results stay, in bytes.
    pub(crate) least: usize,
    /// Bytes kept at the front and at the end.
    pub(crate) head: usize,
    pub(crate) tail: usize,
}

/// When long strings in the arguments of a call may be shortened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arguments {
    /// So many replies must follow the call.
    pub(crate) after: usize,
    /// Or so many, once the file it names was read or changed again.
    pub(crate) after_superseded: usize,
}

/// When a session is folded, in shares of the model's window. Section 6.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fold {
    /// Fuller than this.
    pub(crate) warm: f64,
    /// Fuller than this, when the cache holds nothing of the session anyway.
    pub(crate) cold: f64,
    /// It goes down to this: half of where it begins, so that the next one is far.
    pub(crate) to: f64,
}

/// What a dial allows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tier {
    /// Output of tests, builds, installs and other commands.
    pub(crate) logs: Option<Shorten>,
    /// Reads of a file that was read or changed again.
    pub(crate) superseded: Option<Shorten>,
    /// Reads and searches of any file.
    pub(crate) others: Option<Shorten>,
    /// Arguments of calls.
    pub(crate) arguments: Option<Arguments>,
    /// A nearly full window.
    pub(crate) fold: Option<Fold>,
    /// Requests still to come are taken to be this share of those made ...
    pub(crate) horizon: f64,
    /// A cut may put at risk what the session has saved and this share of what it has paid.
    ///
    /// At its tenth request a session of context C has paid about 1.75 C: each token written once (1.25) and read half of ten times
    /// (0.5). Writing a tenth of the context again costs 1.15 * 0.1 C, which is 0.06 of that; an eighth, for the deeper dials, 0.08.
    pub(crate) stake: f64,
}

/// Requests still to come are taken to be at least and at most this many. Section 6.
pub(crate) const REQUESTS_LEFT: (f64, f64) = (10.0, 80.0);

/// A cut must promise this many times what it costs.
///
/// Half of all sessions make fewer than the assumed requests: 0.6 of those made is a median. At 1.6 a cut pays where a session makes
/// three eighths as many again. Section 6 has 1.2, for a rule that does not bound what a cut may lose.
pub(crate) const MARGIN: f64 = 1.6;

/// Returns the levers that `dial` runs with a provider, in their order.
///
/// ```
/// use mesh_optimize::{Dial, Lever, Provider, levers};
///
/// let dial: Dial = "0.1".parse()?;
/// assert_eq!(levers(dial, &Provider::ANTHROPIC), [Lever::Breakpoints, Lever::CleanUp]);
/// assert_eq!(levers(dial, &Provider::prefix(0.1)), [Lever::CleanUp]);
/// # Ok::<(), mesh_optimize::DialError>(())
/// ```
pub fn levers(dial: Dial, provider: &Provider) -> Vec<Lever> {
    if dial.is_off() {
        return Vec::new();
    }
    let tier = Tier::of(dial, provider);
    let prunes = tier.logs.is_some() || tier.superseded.is_some() || tier.others.is_some();
    [
        (Lever::Breakpoints, provider.is_marked()),
        (Lever::CleanUp, true),
        (Lever::Prune, prunes),
        (Lever::Arguments, tier.arguments.is_some()),
        (Lever::Fold, tier.fold.is_some()),
    ]
    .into_iter()
    .filter_map(|(lever, runs)| runs.then_some(lever))
    .collect()
}

impl Tier {
    /// What goes from a text in a fold: everything but its ends, the lines that say how it ended, and what others refer to.
    pub(crate) const FOLD: Tier = {
        let rule = Some(Shorten { after: 1, least: 400, head: 100, tail: 150 });
        let arguments = Some(Arguments { after: 1, after_superseded: 1 });
        Tier { logs: rule, superseded: rule, others: rule, arguments, fold: None, horizon: 0.0, stake: 0.0 }
    };

    /// Looks up what `dial` allows with a provider.
    ///
    /// Steps of the dial and sizes are those of section 6. Ages count replies since the last one that used a text, so that they can
    /// be shorter than the specification's for arguments and must be one reply longer for results: the window of four messages
    /// holds two replies of one call each, and a cut the moment a result leaves it rewrites the window every time.
    ///
    /// Where reads are dear, context costs more and rewrites less: from half the price on, the next tier applies.
    pub(crate) fn of(dial: Dial, provider: &Provider) -> Tier {
        let deeper = provider.read >= 0.5 && dial.value() >= 0.2;
        let dial = dial.value() + if deeper { 0.2 } else { 0.0 };
        if dial < 0.2 {
            return Tier::default();
        }
        if dial < 0.4 {
            return Tier {
                logs: Some(Shorten { after: 3, least: 800, head: 300, tail: 500 }),
                superseded: Some(Shorten { after: 5, least: 1600, head: 600, tail: 600 }),
                others: (dial >= 0.3).then_some(Shorten { after: 9, least: 1600, head: 600, tail: 600 }),
                arguments: (dial >= 0.3).then_some(Arguments { after: 6, after_superseded: 4 }),
                fold: None,
                horizon: 0.6,
                stake: 0.06,
            };
        }
        Tier {
            logs: Some(Shorten { after: 2, least: 500, head: 200, tail: 300 }),
            superseded: Some(Shorten { after: 2, least: 800, head: 400, tail: 400 }),
            others: Some(Shorten { after: 4, least: 800, head: 400, tail: 400 }),
            arguments: (dial >= 0.5).then_some(Arguments { after: 4, after_superseded: 2 }),
            fold: Some(if dial < 0.8 {
                Fold { warm: 0.6, cold: 0.4, to: 0.3 }
            } else {
                Fold { warm: 0.4, cold: 0.4, to: 0.2 }
            }),
            horizon: 0.8,
            stake: 0.08,
        }
    }

    /// The rule for a result of this kind.
    pub(crate) fn rule(&self, kind: ResultKind, superseded: bool) -> Option<Shorten> {
        match kind {
            ResultKind::Log => self.logs,
            ResultKind::Read if superseded => self.superseded.or(self.others),
            _ => self.others,
        }
    }
}
