//! Administration, with what of it the crate has: AlterConfigs replaces all that was set.

use futures_executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::groups::GroupInfo;
use rdkafka::Offset;
use serde_json::{json, Map, Value};

use crate::consumers::{positions, TIMEOUT};
use crate::rpc::{Answer, Arguments, Fault};

pub struct Administrator(AdminClient<DefaultClientContext>);

impl Administrator {
    pub fn new(config: &ClientConfig) -> Answer<Administrator> {
        Ok(Administrator(config.create()?))
    }

    pub fn call(&self, op: &str, args: &Arguments) -> Answer<Value> {
        match op {
            "create_topics" => self.create_topics(args)?,
            "delete_topics" => self.delete_topics(args)?,
            "create_partitions" => self.create_partitions(args)?,
            "delete_records" => return self.delete_records(args),
            "list_topics" => return self.list_topics(),
            "alter_configs" => self.alter_configs(args)?,
            "topic_configs" => return self.topic_configs(args),
            "list_groups" => {
                let groups = self.0.inner().fetch_group_list(None, TIMEOUT)?;
                return Ok(groups.groups().iter().map(GroupInfo::name).collect());
            }
            "describe_group" => return self.describe_group(args),
            "delete_group" => {
                let done = block_on(self.0.delete_groups(&[args.text("group")?], &options()))?;
                all(done)?;
            }
            _ => return Err(Fault::new("UNKNOWN", op)),
        }
        Ok(Value::Null)
    }

    fn create_topics(&self, args: &Arguments) -> Answer<()> {
        let configs = args.settings("configs");
        let mut wanted = Vec::new();
        for topic in args.list("topics")? {
            let name = topic[0].as_str().unwrap_or_default();
            let count = topic[1].as_i64().unwrap_or_default() as i32;
            let mut new = NewTopic::new(name, count, TopicReplication::Fixed(1));
            for (key, value) in &configs {
                new = new.set(key, value);
            }
            wanted.push(new);
        }
        all(block_on(self.0.create_topics(&wanted, &options()))?)
    }

    fn delete_topics(&self, args: &Arguments) -> Answer<()> {
        let topics: Vec<&str> = args.list("topics")?.iter().filter_map(Value::as_str).collect();
        all(block_on(self.0.delete_topics(&topics, &options()))?)
    }

    fn create_partitions(&self, args: &Arguments) -> Answer<()> {
        let wanted = NewPartitions::new(args.text("topic")?, args.number("count")? as usize);
        all(block_on(self.0.create_partitions(&[wanted], &options()))?)
    }

    /// The partition's new log start.
    fn delete_records(&self, args: &Arguments) -> Answer<Value> {
        let wanted = json!([[args.0["topic"], args.0["partition"], args.0["before"]]]);
        let list = positions(wanted.as_array().expect("a list"))?;
        let done = block_on(self.0.delete_records(&list, &options()))?;
        let partition = &done.elements()[0];
        partition.error()?;
        match partition.offset() {
            Offset::Offset(low) => Ok(json!(low)),
            other => Err(Fault::new("OFFSET", format!("{other:?}"))),
        }
    }

    /// Partitions per topic, as a client sees them without asking for any topic by name.
    fn list_topics(&self) -> Answer<Value> {
        let found = self.0.inner().fetch_metadata(None, TIMEOUT)?;
        let counts =
            found.topics().iter().map(|it| (it.name().to_string(), json!(it.partitions().len())));
        Ok(Value::Object(counts.collect()))
    }

    fn alter_configs(&self, args: &Arguments) -> Answer<()> {
        let configs = args.settings("configs");
        let mut wanted = AlterConfig::new(ResourceSpecifier::Topic(args.text("topic")?));
        for (key, value) in &configs {
            wanted = wanted.set(key, value);
        }
        all(block_on(self.0.alter_configs(&[wanted], &options()))?)
    }

    /// What is set on the topic itself.
    fn topic_configs(&self, args: &Arguments) -> Answer<Value> {
        let topic = ResourceSpecifier::Topic(args.text("topic")?);
        let mut found = Map::new();
        for resource in block_on(self.0.describe_configs(&[topic], &options()))? {
            for entry in resource?.entries {
                if entry.source == ConfigSource::DynamicTopic {
                    found.insert(entry.name, json!(entry.value));
                }
            }
        }
        Ok(Value::Object(found))
    }

    fn describe_group(&self, args: &Arguments) -> Answer<Value> {
        let found = self.0.inner().fetch_group_list(Some(args.text("group")?), TIMEOUT)?;
        let group = found.groups().first().ok_or_else(|| Fault::new("NONE", "no such group"))?;
        Ok(json!({"state": group.state(), "members_count": group.members().len()}))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

fn all<T, E: Into<Fault>>(results: Vec<Result<T, E>>) -> Answer<()> {
    results.into_iter().try_for_each(|result| result.map(drop).map_err(Into::into))
}
