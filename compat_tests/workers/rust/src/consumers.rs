//! Consumers: StreamConsumer, whose records come as a stream.

use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::future::{select, Either};
use futures_util::pin_mut;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, DefaultConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::util::{AsyncRuntime, NaiveRuntime};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{json, Value};

use crate::rpc::{encode, plain, Answer, Arguments, Fault};

pub type Reader = StreamConsumer<DefaultConsumerContext, NaiveRuntime>;
pub const TIMEOUT: Duration = Duration::from_secs(30);
const SEEK_PATIENCE: Duration = Duration::from_secs(10);

pub fn open(mut config: ClientConfig, args: &Arguments) -> Answer<Reader> {
    // It cannot go without a group.
    let unused = format!("unused-{}", args.text("name")?);
    config.set("group.id", args.get("group").map_or(unused, plain));
    if args.get("group").is_none() {
        config.set("enable.auto.commit", "false");
    }
    for (argument, setting) in
        [("start", "auto.offset.reset"), ("auto_commit", "enable.auto.commit")]
    {
        if let Some(value) = args.get(argument) {
            config.set(setting, plain(value));
        }
    }
    config.extend(args.settings("extra"));
    Ok(config.create()?)
}

pub fn call(consumer: &Reader, op: &str, args: &Arguments) -> Answer<Value> {
    match op {
        "subscribe" => {
            let topics: Vec<&str> = args.list("topics")?.iter().filter_map(Value::as_str).collect();
            consumer.subscribe(&topics)?;
        }
        "assign" => consumer.assign(&positions(args.list("positions")?)?)?,
        "seek" => seek(consumer, args)?,
        "poll" => return poll(consumer, args),
        "assignment" => return assignment(consumer),
        "commit" => commit(consumer, args)?,
        "committed" => {
            let asked = positions(args.list("partitions")?)?;
            return Ok(offsets(&consumer.committed_offsets(asked, TIMEOUT)?));
        }
        "offsets_for_times" => {
            let asked = positions(args.list("times")?)?;
            return Ok(offsets(&consumer.offsets_for_times(asked, TIMEOUT)?));
        }
        "watermarks" => {
            let partition = args.number("partition")? as i32;
            let (low, high) = consumer.fetch_watermarks(args.text("topic")?, partition, TIMEOUT)?;
            return Ok(json!([low, high]));
        }
        _ => return Err(Fault::new("UNKNOWN", op)),
    }
    Ok(Value::Null)
}

/// From topics, partitions, and offsets (or times) where given.
pub fn positions(wire: &[Value]) -> Answer<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for item in wire {
        let topic = item[0].as_str().ok_or_else(|| Fault::new("ARGUMENT", item))?;
        let partition = item[1].as_i64().ok_or_else(|| Fault::new("ARGUMENT", item))? as i32;
        let offset = match &item[2] {
            Value::String(name) if name == "beginning" => Offset::Beginning,
            Value::String(_) => Offset::End,
            number => number.as_i64().map_or(Offset::Invalid, Offset::Offset),
        };
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(list)
}

fn offsets(list: &TopicPartitionList) -> Value {
    list.elements()
        .iter()
        .map(|item| match item.offset() {
            Offset::Offset(number) => json!(number),
            _ => Value::Null,
        })
        .collect()
}

/// Again while the partition is being started.
fn seek(consumer: &Reader, args: &Arguments) -> Answer<()> {
    let until = Instant::now() + SEEK_PATIENCE;
    loop {
        let mut wanted = TopicPartitionList::new();
        let partition = args.number("partition")? as i32;
        let offset = Offset::Offset(args.number("offset")?);
        wanted.add_partition_offset(args.text("topic")?, partition, offset)?;
        let done = consumer.seek_partitions(wanted, SEEK_PATIENCE)?;
        let Err(error) = done.elements()[0].error() else {
            return Ok(());
        };
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::State) || Instant::now() > until {
            return Err(error.into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Records until there are `count` of them or the time is over.
fn poll(consumer: &Reader, args: &Arguments) -> Answer<Value> {
    let timeout_s = args.get("timeout_s").and_then(Value::as_f64).unwrap_or(0.0);
    let mut over = NaiveRuntime::delay_for(Duration::from_secs_f64(timeout_s));
    let mut seen = Vec::new();
    while (seen.len() as i64) < args.number("count")? {
        let next = consumer.recv();
        pin_mut!(next);
        match block_on(select(next, over)) {
            Either::Left((message, still)) => {
                over = still;
                match message {
                    Ok(message) => seen.push(record(&message)),
                    Err(error) if tries_again(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Either::Right(_) => break,
        }
    }
    Ok(Value::Array(seen))
}

/// What other bindings of the library only tell on the side.
fn tries_again(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure};
    matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure))
}

fn record(message: &BorrowedMessage) -> Value {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    json!({
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp_ms": message.timestamp().to_millis(),
        "key": encode(message.key()),
        "value": encode(message.payload()),
        "headers": headers.map(|it| json!([it.key, encode(it.value)])).collect::<Vec<_>>(),
    })
}

fn assignment(consumer: &Reader) -> Answer<Value> {
    let list = consumer.assignment()?;
    Ok(list.elements().iter().map(|item| json!([item.topic(), item.partition()])).collect())
}

fn commit(consumer: &Reader, args: &Arguments) -> Result<(), KafkaError> {
    match args.list("positions").and_then(|wire| positions(wire)) {
        Ok(list) => consumer.commit(&list, CommitMode::Sync),
        Err(_) => consumer.commit_consumer_state(CommitMode::Sync),
    }
}
