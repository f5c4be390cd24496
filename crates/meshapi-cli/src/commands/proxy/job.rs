//! A request on its way: how it was prepared, and what is written down of it in the end.

use mesh_client::{http::header::HeaderValue, wire::RequestBody};
use mesh_optimize::{
    Plan, Provider, Untouched,
    relay::{Books, Day, Tap, unchanged, unpacked, unreported},
};

use super::{
    lock,
    relay::{Parts, Relay, today},
};

/// About so many bytes of a body are a token, where nothing better is known: 2.77 characters (see mesh-optimize).
const BYTES_PER_TOKEN: f64 = 2.77;

/// A request that gets a receipt.
pub(super) struct Job {
    pub(super) session: String,
    pub(super) plan: Plan,
    /// What its prompt costs, in plain input tokens.
    pub(super) units: f64,
    pub(super) hold: Option<Hold>,
}

/// What a request may cost is held back from the caps until its receipt is written, or until it is known to cost nothing.
pub(super) struct Hold {
    pub(super) relay: Relay,
    pub(super) session: String,
    pub(super) about: Option<f64>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        lock(&self.relay.0.books).release(&self.session, self.about);
    }
}

/// What is read of a body that goes out untouched.
#[derive(serde::Deserialize)]
struct Model {
    model: String,
}

impl Job {
    /// Prepares a request. Returns the body to send, where it is another one than `raw`.
    pub(super) fn prepare(
        proxy: &Parts,
        raw: &bytes::Bytes,
        packed: Option<&HeaderValue>,
    ) -> (Job, Option<RequestBody>) {
        if let Some(packed) = packed {
            let plain = if packed == "gzip" { unpacked(raw) } else { Vec::new() };
            return (Job::untouched(&plain), None);
        }
        let (session, plan, body) = {
            let mut filter = lock(&proxy.filter);
            filter.at(proxy.start.elapsed().as_secs_f64());
            let (session, prepared) = filter.prepare(raw, |_| None, None);
            let is_same = prepared.segments().map(<[u8]>::len).eq([raw.len()]);
            let body = (!is_same).then(|| RequestBody::from_pieces(raw, prepared.segments()));
            (session, prepared.plan, body)
        };
        let is_off = lock(&proxy.off).contains(&plan.model);
        let (mut job, body) = match plan.untouched.is_none() && !is_off {
            true => {
                let units = plan.sent.units(&plan.provider.unwrap_or(Provider::NONE));
                (Job { session: String::new(), plan, units, hold: None }, body)
            }
            false => (Job::untouched(raw), None),
        };
        // Also what goes out as it came belongs to a session, and counts against its cap.
        job.session = session.unwrap_or(job.session);
        (job, body)
    }

    /// A request that goes out as it came.
    pub(super) fn untouched(raw: &[u8]) -> Job {
        let model = serde_json::from_slice::<Model>(raw).map(|body| body.model).unwrap_or_default();
        let mut plan = Plan::untouched(mesh_optimize::Dial::OFF, Untouched::Off);
        plan.provider = Some(Provider::of_model(&model));
        plan.model = model;
        let session = "without a history".to_owned();
        Job { session, plan, units: raw.len() as f64 / BYTES_PER_TOKEN, hold: None }
    }

    /// Writes the receipt of a request whose answer passed by `tap`.
    pub(super) fn settle(mut self, tap: Tap) {
        let Some(hold) = &mut self.hold else { return };
        // Given back together with the entry: at no moment it counts twice, or not at all.
        let (relay, about) = (hold.relay.clone(), hold.about.take());
        let (proxy, (usage, cost)) = (&relay.0, tap.end());
        let prices = proxy.prices(&self.plan.model);
        let (plan, told) = (&self.plan, usage.as_ref());
        let mut receipt = match plan.untouched {
            None => lock(&proxy.filter).settle_plan(&self.session, plan, told, prices.as_ref()),
            Some(_) => unchanged(plan, told, prices.as_ref()),
        };
        if usage.is_none() {
            receipt = unreported(receipt);
        }
        let spent = Day { day: today(), usd: Books::counts(&receipt, cost, about) };
        let sum = proxy.spent.as_ref().map(|kept| kept.add(spent));
        let mut books = lock(&proxy.books);
        books.release(&self.session, about);
        books.enter(spent.day, &self.session, &self.plan, &receipt, cost, about);
        if let Some(sum) = sum {
            books.learn(sum);
        }
        drop(books);
        proxy.changed.send_modify(|count| *count += 1);
    }
}
