//! A message to walk with, and eyes to look at what becomes of it.

use pec::certification_data::CertificationData;
use pec::host::{Arrival, Message, Verdict};

use super::parse::Parsed;
use super::{Done, World};

/// An original with 8-bit text, trailing blanks, an attachment and recipients of each kind.
pub const ORIGINAL: &[u8] = b"Received: from client by mail.alfa.example; Tue, 14 Dec 2021 14:54:30 +0100\r\n\
From: Ada <ada@alfa.example>\r\n\
To: Bruno <bruno@beta.example>\r\n\
Cc: dora@beta.example, esterno@posta.example\r\n\
Subject: =?utf-8?Q?Perch=C3=A9_no=3F_10_=E2=82=AC?=\r\n\
Date: Tue, 14 Dec 2021 14:54:29 +0100\r\n\
Message-ID: <client-1@alfa.example>\r\n\
MIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=b1\r\n\
\r\n\
--b1\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
Content-Transfer-Encoding: 8bit\r\n\
\r\n\
caff\xc3\xa8 \r\n\
--b1\r\n\
Content-Type: application/pdf; name=\"a.pdf\"\r\n\
Content-Transfer-Encoding: base64\r\n\
Content-ID: <x@y>\r\n\
\r\n\
AAECAwQF\r\n\
BgcICQ==\r\n\
--b1--\r\n";

/// Its recipients.
pub const TO: [&str; 3] = ["bruno@beta.example", "dora@beta.example", "esterno@posta.example"];

pub fn data_of(message: &[u8]) -> CertificationData {
    let parsed = Parsed::new(message);
    let index = parsed.parts().unwrap().iter().position(|part| part.is_named("daticert.xml")).unwrap();
    let reading = CertificationData::read(&parsed.read_decoded(index as u32).unwrap()).unwrap();
    assert!(reading.in_order);
    reading.data
}

pub fn text_of(message: &[u8]) -> String {
    let parsed = mail_parser::MessageParser::default().parse(message).unwrap();
    parsed.body_text(0).unwrap().replace("\r\n", "\n")
}

pub fn original_in(message: &[u8]) -> Option<Vec<u8>> {
    let parsed = Parsed::new(message);
    let parts = parsed.parts().unwrap();
    let part = parts.iter().find(|part| part.is_named("postacert.eml"))?;
    Some(message[part.body_offset as usize..part.end() as usize].to_vec())
}

pub fn header(message: &[u8], name: &str) -> String {
    let parsed = Parsed::new(message);
    assert!(parsed.header_count(name) <= 1, "{name} repeated");
    parsed.header_text(name, 0).unwrap_or_default()
}

/// Acceptance at Alfa.
pub fn accepted(world: &World) -> Done {
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, ORIGINAL);
    assert_eq!(done.verdict, Ok(Verdict::Continue));
    done
}

/// Reception at Beta of Alfa's envelope.
pub fn taken(world: &World, envelope: &[u8]) -> Done {
    let to = ["bruno@beta.example", "dora@beta.example"];
    let done = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &to, envelope);
    assert_eq!(done.verdict, Ok(Verdict::Continue), "{:?}", done.logged);
    done
}
