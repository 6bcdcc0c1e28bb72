//! Shows messages to scanners, one kind of use at a time: the settings are `{"kind":"NAME"}`. What it is told goes to
//! the reply, so that a test reads it there.

wit_bindgen::generate!({
    inline: "
        package guest:scans;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:scans/guest",
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle};
use sigillo::mail::message::Message;
use sigillo::mail::passage::Transaction;
use sigillo::mail::scan::{Scan, known, start, start_part, start_with};
use sigillo::mail::settings;
use sigillo::mail::types::{Error, Failure, Reply, Verdict};

struct Scans;

impl lifecycle::Guest for Scans {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Scans {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        let settings = settings::get();
        let kind = settings.split('"').nth(3).unwrap_or_default();
        let told = tell(kind, &transaction.message()).unwrap_or_else(|error| format!("{error:?}"));
        let text = told.chars().filter(|c| (' '..='~').contains(c)).take(400).collect();
        Ok(Verdict::Reject(Reply { code: 550, enhanced: "5.0.0".into(), text }))
    }
}

fn tell(kind: &str, message: &Message) -> Result<String, Error> {
    match kind {
        "known" => Ok(format!("{} {}", known("clean"), known("other"))),
        // The two end only if they run at once.
        "together" => {
            let (left, right) = (start("left", message)?, start("right", message)?);
            Ok(format!("{}, {}", said(&left)?, said(&right)?))
        }
        "parts" => {
            let own = start_part("finds", message, 0, None)?;
            let other = start_part("finds", message, 0, Some("base64"))?;
            Ok(format!("{}, {}", said(&own)?, said(&other)?))
        }
        "no-part" => start_part("clean", message, 9, None).map(|_| "taken".into()),
        "told" => {
            let facts = [("ip", "192.0.2.1"), ("rcpt", "bruno@beta.example"), ("rcpt", "carla@beta.example")];
            let report = start_with("finds", message, &facts.map(|(name, value)| (name.into(), value.into())))?.wait()?;
            let property = |name| report.property(name).unwrap_or_else(|| "none".into());
            let rating = ["protocol", "score", "threshold", "action", "symbols"].map(property);
            Ok(format!("{:?}: {}", report.threat(), rating.join(" ")))
        }
        "unknown-fact" => start_with("finds", message, &[("password".into(), "x".into())]).map(|_| "taken".into()),
        "two-lines" => start_with("finds", message, &[("ip".into(), "x\r\nUser: root".into())]).map(|_| "taken".into()),
        "too-many-facts" => {
            let facts = vec![("rcpt".into(), "x".into()); 1101];
            start_with("finds", message, &facts).map(|_| "taken".into())
        }
        "twice" => {
            let scan = start("clean", message)?;
            said(&scan)?;
            said(&scan)
        }
        "many" => {
            let scans: Result<Vec<Scan>, Error> = (0..9).map(|_| start("hangs", message)).collect();
            scans.map(|_| "taken".into())
        }
        "one-after-the-other" => {
            for _ in 0..20 {
                said(&start("clean", message)?)?;
            }
            Ok("done".into())
        }
        scanner => said(&start(scanner, message)?),
    }
}

fn said(scan: &Scan) -> Result<String, Error> {
    let report = scan.wait()?;
    let property = |name| report.property(name).unwrap_or_default();
    Ok(format!("{} {:?} by {} ({})", report.verdict(), report.threat(), property("scanner"), property("version")))
}

export!(Scans);
