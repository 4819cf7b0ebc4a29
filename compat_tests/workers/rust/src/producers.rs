//! Producers: FutureProducer, which has a thread of its own that serves it.

use std::time::Duration;

use futures_executor::block_on;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::{DeliveryFuture, FutureProducer, FutureRecord};
use serde_json::{json, Value};

use crate::rpc::{decode, failed, plain, Answer, Arguments, Fault};

pub fn open(mut config: ClientConfig, args: &Arguments) -> Answer<FutureProducer> {
    let named = [
        ("codec", "compression.type"),
        ("idempotent", "enable.idempotence"),
        ("message_bytes_max", "message.max.bytes"),
    ];
    for (argument, setting) in named {
        if let Some(value) = args.get(argument) {
            config.set(setting, plain(value));
        }
    }
    config.extend(args.settings("extra"));
    Ok(config.create()?)
}

/// Sends all at once; one answer per record: offset and time, or the error.
pub fn produce(producer: &FutureProducer, args: &Arguments) -> Answer<Value> {
    let mut waiting = Vec::new();
    for record in args.list("records")? {
        waiting.push(send(producer, record)?);
    }
    waiting.into_iter().map(outcome).collect()
}

fn send(producer: &FutureProducer, wire: &Value) -> Answer<Result<DeliveryFuture, Fault>> {
    let topic = wire["topic"].as_str().ok_or_else(|| Fault::new("ARGUMENT", "topic"))?;
    let (key, value) = (decode(&wire["key"])?, decode(&wire["value"])?);
    let mut headers = OwnedHeaders::new();
    for header in wire["headers"].as_array().into_iter().flatten() {
        let content = decode(&header[1])?;
        headers = headers.insert(Header {
            key: header[0].as_str().unwrap_or_default(),
            value: content.as_ref(),
        });
    }
    let mut record = FutureRecord {
        topic,
        partition: wire["partition"].as_i64().map(|partition| partition as i32),
        payload: value.as_ref(),
        key: key.as_ref(),
        timestamp: wire["timestamp_ms"].as_i64(),
        headers: Some(headers),
    };
    loop {
        match producer.send_result(record) {
            Ok(future) => return Ok(Ok(future)),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), same)) => {
                producer.poll(Duration::from_millis(100));
                record = same;
            }
            Err((error, _)) => return Ok(Err(error.into())),
        }
    }
}

fn outcome(sent: Result<DeliveryFuture, Fault>) -> Answer<Value> {
    let delivered = match sent {
        Ok(future) => {
            block_on(future).map_err(|_| Fault::new("CANCELED", "the producer is gone"))?
        }
        Err(fault) => return Ok(failed(&fault)),
    };
    Ok(match delivered {
        Ok(delivery) => json!({
            "offset": delivery.offset,
            "partition": delivery.partition,
            "timestamp_ms": delivery.timestamp.to_millis().unwrap_or(-1),
        }),
        Err((error, _)) => failed(&error.into()),
    })
}
