//! rdkafka, the crate, with its defaults; an operation's `extra` adds settings in librdkafka's names.

mod admin;
mod consumers;
mod producers;
mod rpc;

use std::collections::HashMap;

use rdkafka::config::ClientConfig;
use rdkafka::producer::FutureProducer;
use serde_json::{json, Value};

use rpc::{Answer, Arguments};

const LOCKED: &str = include_str!("../Cargo.lock");

/// Named producers and consumers of one process.
struct Operations {
    basics: ClientConfig,
    producers: HashMap<String, FutureProducer>,
    consumers: HashMap<String, consumers::Reader>,
    administrator: Option<admin::Administrator>,
}

impl Operations {
    fn new(bootstrap: &str) -> Operations {
        let mut basics = ClientConfig::new();
        basics.set("bootstrap.servers", bootstrap);
        Operations {
            basics,
            producers: HashMap::new(),
            consumers: HashMap::new(),
            administrator: None,
        }
    }

    fn call(&mut self, op: &str, args: &Arguments) -> Answer<Value> {
        match op {
            "info" => return Ok(json!({"library": library()})),
            "producer_open" => {
                let opened = producers::open(self.basics.clone(), args)?;
                self.producers.insert(args.text("name")?.to_string(), opened);
            }
            "produce" => return producers::produce(&self.producers[args.text("producer")?], args),
            "producer_close" => drop(self.producers.remove(args.text("producer")?)),
            "consumer_open" => {
                let opened = consumers::open(self.basics.clone(), args)?;
                self.consumers.insert(args.text("name")?.to_string(), opened);
            }
            "consumer_close" => drop(self.consumers.remove(args.text("consumer")?)),
            _ if args.get("consumer").is_some() => {
                return consumers::call(&self.consumers[args.text("consumer")?], op, args)
            }
            _ => return self.administrator()?.call(op, args),
        }
        Ok(Value::Null)
    }

    fn administrator(&mut self) -> Answer<&admin::Administrator> {
        if self.administrator.is_none() {
            self.administrator = Some(admin::Administrator::new(&self.basics)?);
        }
        Ok(self.administrator.as_ref().expect("just made"))
    }
}

/// The crate's version, and that of the library in C below it.
fn library() -> String {
    let found = LOCKED.split("name = \"rdkafka\"\nversion = \"").nth(1);
    let version = found.and_then(|rest| rest.split('"').next()).unwrap_or("?");
    format!("rdkafka {version} on librdkafka {}", rdkafka::util::get_rdkafka_version().1)
}

fn main() {
    let bootstrap = std::env::args().nth(1).expect("the address of a broker");
    let mut operations = Operations::new(&bootstrap);
    rpc::serve(|op, args| operations.call(op, args));
}
