//! The mailbox of a turn: what is told of new mail, what becomes of messages when the turn has ended, and what a turn may cost that
//! nobody watches.

use std::sync::Arc;

use mesh_safety::{Action, Decision};

use super::{Agent, report::Tally};
use crate::{mail::Mailroom, notes, price_list::PriceList, turn::Failure, turn::TurnEnd};

/// Kind of the failure that ends a turn which has used up its budget.
pub const BUDGET: &str = "budget";

/// What one turn may come to. It is looked at before each request, so the last one may go beyond it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// In USD, billed or estimated.
    pub usd: Option<f64>,
    /// Tokens of prompts and completions, cached ones included.
    pub tokens: Option<u64>,
}

impl Agent {
    /// Gives the turns a mailbox: they are told of new mail, and what they read is acknowledged when they have ended.
    pub fn mail_with(&mut self, mail: Arc<dyn Mailroom>) {
        self.mail = Some(mail);
    }

    /// Sets what each turn may come to from now on.
    pub fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Whether the last turn's words may go to a peer without a question, though no tool sends them.
    ///
    /// # Errors
    /// Why not, for a person: it holds a credential, or it may hold something private.
    pub fn may_tell(&self, to: &str, text: &str) -> Result<(), String> {
        if let Some(rule) = self.screen().leak_of(text) {
            return Err(notes::holds_a_secret(rule));
        }
        let action = Action::SendMail { to: to.to_owned(), is_known: true };
        // The person who let this peer be answered has said yes to what a mode asks: the checks are left.
        match mesh_safety::judge(&action, mesh_safety::PermissionMode::Bypass, &self.policy()) {
            Decision::Allow => Ok(()),
            decision => {
                let reasons = decision.reasons().iter().map(|reason| reason.text.as_str());
                Err(reasons.collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// What the model is told of mail that waits.
    pub(super) fn mail_note(&self) -> Option<String> {
        self.mail.as_ref()?.news().map(|news| notes::mail_waits(&news.line()))
    }

    /// What the person is told of mail that came since they were told last.
    pub(super) fn news(&self) -> Option<String> {
        self.mail.as_ref()?.untold().map(|news| news.line())
    }

    /// What the turn read is settled. A turn that paused goes on, and so does what it holds.
    pub(super) async fn post_turn(&self, end: &TurnEnd) {
        let Some(mail) = &self.mail else { return };
        match end {
            TurnEnd::Finished { .. } => mail.turn_ended(true).await,
            TurnEnd::Failed { .. } | TurnEnd::Interrupted { .. } => mail.turn_ended(false).await,
            TurnEnd::HopLimit { .. } => {}
        }
    }

    /// Why no further request may go out.
    pub(super) async fn overspent(&self, tally: &Tally, list: &mut PriceList<'_>) -> Option<Failure> {
        let failure = |message: String| Some(Failure { kind: BUDGET.to_owned(), message });
        let Budget { usd, tokens } = self.budget;
        let used = tally.usage.prompt + tally.usage.completion;
        if let Some(most) = tokens.filter(|most| used >= *most) {
            return failure(format!("the budget of {most} tokens for this turn is used up ({used})"));
        }
        let most = usd?;
        if self.ledger.wants_prices() {
            list.want();
            list.arrive().await;
        }
        let spend = self.ledger.so_far(list.known().map(|catalog| &**catalog));
        let spent = spend.billed + spend.estimated;
        if spent >= most {
            return failure(format!("the budget of ${most} for this turn is used up (${spent:.6})"));
        }
        // A cap that cannot be kept is none.
        match spend.unpriced {
            0 => None,
            _ => failure(format!(
                "what a request cost cannot be told, so the budget of ${most} cannot be kept"
            )),
        }
    }
}
