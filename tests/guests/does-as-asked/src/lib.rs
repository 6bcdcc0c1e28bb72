//! Does what is asked of it, well and badly.

wit_bindgen::generate!({
    inline: "
        package guest:does-as-asked;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/operation@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:does-as-asked/guest",
    generate_all,
});

use exports::sigillo::mail::{lifecycle, operation};
use sigillo::mail::content::Content;
use sigillo::mail::passage::Request;
use sigillo::mail::state;
use sigillo::mail::types::Failure;

/// Days that the sum is kept.
const KEPT: u32 = 30;

struct DoesAsAsked;

impl lifecycle::Guest for DoesAsAsked {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl operation::Guest for DoesAsAsked {
    fn run(request: &Request) -> Result<String, Failure> {
        match request.name().as_str() {
            "add" => {
                let sum = add(number(request, "by")?)?;
                Ok(format!(r#"{{"sum":{sum},"actor":"{}"}}"#, request.actor()))
            }
            "give-back" => {
                let Some(message) = request.message() else { return Ok(r#"{"valid":false}"#.into()) };
                let content = Content::new();
                content.append_range(&message, 0, message.size()).map_err(failure)?;
                request.output(&content).map_err(failure)?;
                Ok(format!(r#"{{"size":{},"second-refused":{}}}"#, message.size(), request.output(&content).is_err()))
            }
            "in-pieces" => {
                let (pieces, done) = (number(request, "pieces")?, number(request, "continue").unwrap_or(0) + 1);
                let sum = add(1)?;
                let more = done < pieces;
                Ok(format!(r#"{{"more":{more},"continue":"{done}","progress":"{done} of {pieces}","sum":{sum}}}"#))
            }
            "fail" => {
                add(1000)?;
                Err(Failure::Permanent("cannot do that".into()))
            }
            _ => Ok("no JSON".into()),
        }
    }
}

fn number(request: &Request, name: &str) -> Result<u64, Failure> {
    let text = request.argument(name).unwrap_or_default();
    text.parse().map_err(|_| Failure::Permanent(format!("{name}: '{text}' is no number")))
}

fn add(by: u64) -> Result<u64, Failure> {
    let before = state::get("sum").map_err(failure)?.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    let sum = before.unwrap_or(0) + by;
    state::set("sum", &sum.to_be_bytes(), KEPT).map_err(failure)?;
    Ok(sum)
}

fn failure(error: sigillo::mail::types::Error) -> Failure {
    Failure::Permanent(format!("{error:?}"))
}

export!(DoesAsAsked);
