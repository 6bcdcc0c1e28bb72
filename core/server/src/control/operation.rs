//! Operations of plugins: request → step → commit → answer.

use std::sync::Arc;

use sigillo_mail::Rope;
use sigillo_plugin::{Operated, Request};
use sigillo_store::evidence::{NewEvent, Stream};
use sigillo_store::{StoreError, Tx};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{OperationRequest, PIECE, Refusal, skip};
use crate::apply;
use crate::origin::{new_id, parse};
use crate::passage::CONFLICTS_MAX;
use crate::server::Server;

/// What came of an operation.
pub struct Carried {
    /// The plugin's answer.
    pub answer: String,
    /// What it says of the matter.
    pub valid: Option<bool>,
    /// Content for whoever asked.
    pub output: Option<Rope>,
}

/// Takes the message that comes along, runs the step, commits what it recorded together with who asked for it, and
/// answers.
pub async fn carry_out(
    server: &Server,
    request: OperationRequest,
    reader: &mut (impl AsyncRead + Unpin),
    body: u64,
) -> Result<Carried, Refusal> {
    let limit = server.config().limits.message_size;
    if body > limit {
        skip(reader, body).await?;
        return Err(Refusal::Told(format!("the message has {body} octets; limits.message-size allows {limit}")));
    }
    let message = if body == 0 { None } else { Some(take(server, reader, body).await?) };
    let message = match message {
        None => None,
        Some(rope) => {
            let structure = parse(rope.clone(), server.store().segments().clone()).await.map_err(Refusal::Told)?;
            Some((rope, Arc::new(structure)))
        }
    };
    let asked = Request {
        operation: request.operation.clone(),
        actor: request.actor.clone(),
        arguments: request.arguments.clone(),
        message,
        ..Request::default()
    };
    run(server, &request, asked).await.map_err(Refusal::Told)
}

/// The message as a rope. A bare CR or LF would be a line end for some readers and none for others (RFC 5321 §2.3.8):
/// what a plugin makes of this message may leave the server.
async fn take(server: &Server, reader: &mut (impl AsyncRead + Unpin), body: u64) -> Result<Rope, Refusal> {
    let mut spool = server.store().spool();
    let mut piece = vec![0; PIECE];
    let (mut rest, mut before, mut sound) = (body, 0, true);
    while rest > 0 {
        let wanted = rest.min(PIECE as u64) as usize;
        reader.read_exact(&mut piece[..wanted]).await?;
        for byte in &piece[..wanted] {
            sound &= (before == b'\r') == (*byte == b'\n');
            before = *byte;
        }
        spool.write(&piece[..wanted])?;
        rest -= wanted as u64;
    }
    if !sound || before == b'\r' {
        return Err(Refusal::Told("the message has a line that does not end with CRLF".into()));
    }
    let kept = tokio::task::spawn_blocking(move || spool.finish()).await;
    kept.map_err(std::io::Error::other)?.map_err(Refusal::Broken)
}

async fn run(server: &Server, request: &OperationRequest, asked: Request) -> Result<Carried, String> {
    // The same over every attempt: a step that runs anew makes the same ids.
    let passage = format!("operation.{}", new_id());
    let life = server.schedule().expire;
    for _ in 0..=CONFLICTS_MAX {
        let Operated { answer, plugin, arguments, run, output } =
            server.engine().run_operation(&request.plugin, asked.clone(), &passage).await?;
        let event = event(request, &plugin, arguments, &passage, answer.as_ref().err());
        let (passage, done) = (passage.clone(), answer.is_ok());
        let commit = move |tx: &mut Tx<'_>| {
            if done { apply::apply(tx, &run, &passage, life) } else { apply::record(tx, &run, &passage) }?;
            match event {
                Some(event) => tx.append_to(Stream::FrontEnd, event).map(drop),
                None => Ok(()),
            }
        };
        match server.store().write(commit).await {
            Err(StoreError::Conflict(_)) => {} // read something that changed meanwhile: look again
            Err(error) => return Err(error.to_string()),
            Ok(()) => {
                let answer = answer.map_err(|why| format!("plugin '{plugin}': {why}"))?;
                return Ok(Carried { answer: answer.text, valid: answer.valid, output });
            }
        }
    }
    Err("what it is about keeps changing; try again".into())
}

/// LOG-23: who asked for what. Of long work, its beginning.
fn event(
    request: &OperationRequest,
    plugin: &str,
    arguments: Vec<(String, String)>,
    passage: &str,
    failure: Option<&String>,
) -> Option<NewEvent> {
    let goes_on = request.arguments.iter().any(|(name, _)| name == sigillo_plugin::operation::CONTINUE);
    (!goes_on || failure.is_some()).then(|| NewEvent {
        kind: "operation".into(),
        sender: request.actor.clone(),
        result: failure.map_or_else(|| "done".to_owned(), |why| format!("failed: {why}")),
        details: [vec![("operation".to_owned(), request.operation.clone())], arguments].concat(),
        passage: passage.to_owned(),
        source: plugin.to_owned(),
        ..NewEvent::default()
    })
}
