//! Answers commands: with facts, with what is no answer, not at all.

wit_bindgen::generate!({
    inline: "
        package guest:answers;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/command@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:answers/guest",
    generate_all,
});

use exports::sigillo::mail::command;
use sigillo::mail::content::Content;
use sigillo::mail::passage::Inspection;
use sigillo::mail::types::Failure;
use sigillo::mail::{directory, settings, signer, state, verifier};

struct Answers;

impl command::Guest for Answers {
    fn run(name: String, inspection: &Inspection) -> Result<String, Failure> {
        let message = inspection.message();
        match name.as_str() {
            "facts" => {
                let (octets, digest) =
                    message.decoded_sha256(0).map_err(|error| Failure::Permanent(format!("{error:?}")))?;
                let line_ends = inspection.property("line-ends").unwrap_or_default();
                let present = verifier::verify(&message).is_ok_and(|found| found.present());
                let certified = matches!(directory::is_certified("alfa.example"), Ok(true));
                let settings = settings::get();
                Ok(format!(
                    r#"{{"size":{},"octets":{octets},"first":{},"line-ends":"{line_ends}","valid":{present},"certified":{certified},"settings":{settings}}}"#,
                    message.size(),
                    digest[0],
                ))
            }
            "denied" => {
                let denied = [state::get("a").is_err(), signer::sign("provider", &Content::new()).is_err()];
                Ok(format!(r#"{{"denied":{}}}"#, denied == [true, true]))
            }
            "words" => Ok("it is fine".into()),
            _ => Err(Failure::Permanent("cannot\r\nanswer".into())),
        }
    }
}

export!(Answers);
