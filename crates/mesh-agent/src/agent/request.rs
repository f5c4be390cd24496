//! One request: how it is made, made cheaper, sent and booked.

use std::time::{Instant, SystemTime};

use mesh_client::{
    Answer, ClientError, Completion, Delivery, StreamEvent,
    wire::{CompletionRequest, EncodedMessage, Message, RequestBody},
};
use tracing::Instrument;

use super::{
    Agent, Hands,
    report::{Tally, Unsettled},
};
use crate::{
    event::Event,
    notes,
    price_list::PriceList,
    saver::{Outgoing, Saving},
    settings::{OptimizeAt, Settings},
    turn::{Failure, Input},
};

/// A request in two forms.
struct Prepared {
    body: RequestBody,
    /// `None` where the gateway does the work.
    saving: Option<Box<dyn Saving>>,
}
impl Agent {
    /// The request, and how many of its messages at the end will not be in the next one.
    fn request(&self, settings: Settings) -> (CompletionRequest, usize) {
        let mut messages = self.session.history().messages().to_vec();
        let kept = messages.len();
        let notes = self.session.reminder().into_iter().chain(self.mail_note());
        messages.extend(notes.map(|text| EncodedMessage::from(&Message::system(&text))));
        let transient = messages.len() - kept;
        let request = CompletionRequest {
            model: settings.model,
            messages,
            tools: self.tools.specs().next().map(|_| self.tools_json.clone()),
            route: settings.route,
            fallback_models: settings.fallback_models,
            reasoning_effort: settings.reasoning_effort,
            ..CompletionRequest::default()
        };
        (request, transient)
    }

    /// The cheaper form of a request; nothing is looked at where the dial is at 0.
    fn prepare(
        &self,
        request: &CompletionRequest,
        transient: usize,
        window: Option<u64>,
        dial: f64,
        at: &OptimizeAt,
    ) -> Option<Prepared> {
        // NaN is no dial either.
        if !dial.is_finite() || dial <= 0.0 {
            return None;
        }
        if let OptimizeAt::Gateway { session_id } = at {
            let mut asked = request.clone();
            let mut hints = serde_json::json!({ "session_id": &**session_id });
            if transient > 0 {
                hints["transient_tail"] = transient.into();
            }
            asked.extra.insert("mesh_optimize".to_owned(), dial.into());
            asked.extra.insert("mesh_hints".to_owned(), hints);
            return Some(Prepared { body: asked.encode(true), saving: None });
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let saving = self.saver.as_ref()?.prepare(Outgoing {
            body: request.encode(true).to_bytes(),
            model: &request.model,
            dial,
            transient,
            window,
            now: now.map_or(0.0, |since| since.as_secs_f64()),
        })?;
        Some(Prepared { body: saving.body(), saving: Some(saving) })
    }

    pub(super) async fn send(
        &mut self,
        hop: u32,
        tally: &mut Tally,
        list: &mut PriceList<'_>,
        hands: &mut Hands<'_>,
    ) -> Input {
        let (listener, interrupt) = (&mut *hands.listener, hands.interrupt);
        tally.hops = hop;
        listener.event(Event::HopStarted { hop });
        if let Some(line) = self.news() {
            listener.event(Event::News { line: &line });
        }
        let settings = self.settings.get();
        let (dial, at) = (settings.optimize, settings.optimize_at.clone());
        let asked = settings.model.clone();
        let (request, transient) = self.request(settings);
        let window = list.known().and_then(|catalog| catalog.context_tokens(&asked));
        let prepared = self.prepare(&request, transient, window, dial, &at);
        if prepared.as_ref().is_some_and(|prepared| prepared.saving.is_some()) {
            list.want();
        }
        let began = Instant::now();
        let (ledger, model) = (&mut self.ledger, &asked);
        let mut sink = |event: StreamEvent<'_>| match event {
            StreamEvent::Started { request_id } => ledger.started(request_id, model),
            StreamEvent::Text(text) => listener.event(Event::Text(text)),
            StreamEvent::Reasoning(text) => listener.event(Event::Reasoning(text)),
            StreamEvent::Refusal(text) => listener.event(Event::Text(text)),
            StreamEvent::ToolArguments { name, chars } => {
                listener.event(Event::ToolArguments { name, chars })
            }
            StreamEvent::Retry { attempt, of, wait, error, text_shown } => {
                listener.event(Event::Retry { attempt, of, wait, error, text_shown })
            }
            StreamEvent::WholeRequest { error, text_shown } => {
                listener.event(Event::WholeRequest { error, text_shown })
            }
            _ => {}
        };
        let span = tracing::info_span!("hop", hop, model = %asked);
        let (body, saving) = prepared.map_or((None, None), |p| (Some(p.body), p.saving));
        let reply = async {
            match body {
                Some(body) => self.model.complete_optimised(request, body, &mut sink).await,
                None => {
                    let completion = self.model.complete(request, &mut sink).await?;
                    Ok(Answer { completion, delivery: Delivery::Raw })
                }
            }
        };
        let reply = list.beside(interrupt.unless(reply.instrument(span))).await;
        tally.model_time += began.elapsed();
        match reply {
            None => Input::Interrupted,
            Some(Err(error)) => Input::Failed { failure: describe(&error) },
            Some(Ok(Answer { completion, delivery })) => {
                self.book(&completion, tally);
                match (delivery, saving) {
                    (Delivery::Optimised, Some(saving)) => {
                        let (model, usage) = (completion.model.clone(), completion.usage.clone());
                        tally.unsettled.push(Unsettled { saving, model, usage });
                        tally.settle(list);
                    }
                    (Delivery::RawAfter(error), Some(saving)) => {
                        listener.event(Event::SavingsOff { note: &saving.rejected(&error) });
                    }
                    (Delivery::RawAfter(error), None) => {
                        self.settings.update(|settings| settings.optimize = 0.0);
                        listener.event(Event::SavingsOff { note: &notes::gateway_refuses_dial(&error) });
                    }
                    (Delivery::Raw, _) | (Delivery::Optimised, None) => {}
                }
                listener.event(Event::HopEnded { completion: &completion });
                let text = if completion.text.is_empty() { completion.refusal } else { completion.text };
                Input::Completed { text, tool_calls: completion.tool_calls }
            }
        }
    }

    fn book(&mut self, completion: &Completion, tally: &mut Tally) {
        let billed = completion.cost.as_ref().and_then(|cost| cost.usd());
        self.ledger.completed(completion.model.as_deref(), completion.usage.as_ref(), billed);
        if let Some(model) = &completion.model {
            tally.model.clone_from(model);
        }
        tally.last.clone_from(&completion.usage);
        if let Some(usage) = &completion.usage {
            tally.usage.prompt += usage.prompt_tokens.unwrap_or(0);
            tally.usage.completion += usage.completion_tokens.unwrap_or(0);
            tally.usage.cache_read += usage.cached_tokens();
            tally.usage.cache_write += usage.cache_creation_tokens();
        }
    }
}

fn describe(error: &ClientError) -> Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = inner.source();
    }
    Failure { kind: error.kind().as_str().to_owned(), message }
}
