//! The worker's side of the JSON-lines conversation; see rpc.py.

use std::io::{BufRead, Write};

use base64::prelude::{Engine, BASE64_STANDARD};
use rdkafka::bindings::rd_kafka_err2name;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use serde_json::{json, Value};

/// An error in neutral words.
pub struct Fault {
    code: Option<i32>,
    name: String,
    text: String,
}

pub type Answer<T> = Result<T, Fault>;

impl Fault {
    pub fn new(name: &str, text: impl ToString) -> Fault {
        Fault { code: None, name: name.to_string(), text: text.to_string() }
    }

    fn wire(&self) -> Value {
        json!({"code": self.code, "name": self.name, "text": self.text})
    }
}

impl From<RDKafkaErrorCode> for Fault {
    fn from(code: RDKafkaErrorCode) -> Fault {
        let number = code as i32;
        Fault { code: Some(number), name: name_of(number), text: code.to_string() }
    }
}

impl From<KafkaError> for Fault {
    fn from(error: KafkaError) -> Fault {
        match error.rdkafka_error_code() {
            Some(code) => Fault { text: error.to_string(), ..Fault::from(code) },
            None => Fault::new("KafkaError", error),
        }
    }
}

impl<T> From<(T, RDKafkaErrorCode)> for Fault {
    fn from((_, code): (T, RDKafkaErrorCode)) -> Fault {
        Fault::from(code)
    }
}

/// As librdkafka names it, in whatever language one uses it.
fn name_of(number: i32) -> String {
    let Ok(error) = RDKafkaRespErr::try_from(number) else {
        return number.to_string();
    };
    // Sound: the library's names are constants.
    let name = unsafe { std::ffi::CStr::from_ptr(rd_kafka_err2name(error)) };
    name.to_string_lossy().into_owned()
}

pub fn failed(fault: &Fault) -> Value {
    json!({"error": fault.wire()})
}

/// Arguments of an operation, by name.
pub struct Arguments(pub Value);

impl Arguments {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Answer<&str> {
        self.get(name).and_then(Value::as_str).ok_or_else(|| Fault::new("ARGUMENT", name))
    }

    pub fn number(&self, name: &str) -> Answer<i64> {
        self.get(name).and_then(Value::as_i64).ok_or_else(|| Fault::new("ARGUMENT", name))
    }

    pub fn list(&self, name: &str) -> Answer<&Vec<Value>> {
        self.get(name).and_then(Value::as_array).ok_or_else(|| Fault::new("ARGUMENT", name))
    }

    /// Names and values of settings.
    pub fn settings(&self, name: &str) -> Vec<(String, String)> {
        let given = self.get(name).and_then(Value::as_object);
        given.into_iter().flatten().map(|(key, value)| (key.clone(), plain(value))).collect()
    }
}

/// A setting as librdkafka reads it: `true`, `17`, and texts without quotes.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

pub fn encode(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| Value::String(BASE64_STANDARD.encode(bytes)))
}

pub fn decode(value: &Value) -> Answer<Option<Vec<u8>>> {
    let Some(text) = value.as_str() else {
        return Ok(None);
    };
    BASE64_STANDARD.decode(text).map(Some).map_err(|error| Fault::new("BASE64", error))
}

/// Answers requests until stdin ends.
pub fn serve(mut call: impl FnMut(&str, &Arguments) -> Answer<Value>) {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let arguments = Arguments(request["args"].clone());
        let mut reply = match call(request["op"].as_str().expect("an operation"), &arguments) {
            Ok(result) => json!({"result": result}),
            Err(fault) => failed(&fault),
        };
        reply["id"] = request["id"].clone();
        writeln!(out, "{reply}").and_then(|()| out.flush()).expect("somebody who listens");
    }
}
