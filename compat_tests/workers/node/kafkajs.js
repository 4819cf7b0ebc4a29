// kafkajs; clients run with its defaults. It has no consumer without a group: one that assigns
// partitions to itself joins a group that nobody else knows, and seeks.

import { randomUUID } from 'node:crypto'
import kafkajs from 'kafkajs'
import { Arrived, decode, describe, encode, pause, serve } from './rpc.js'

const { CompressionTypes, ConfigResourceTypes, Kafka, Partitioners, logLevel } = kafkajs
const SET_ON_TOPIC = 1
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP }

function fault (error) {
  if (error.groups) return error.groups[0].errorCode ?? null
  for (let it = error; it; it = it.cause ?? it.originalError ?? it.errors?.[0]) {
    if (typeof it.code === 'number') return it.code
  }
  return null
}

class Worker {
  producers = new Map()
  consumers = new Map()

  constructor (bootstrap) {
    this.bootstrap = bootstrap
    this.kafka = this.client()
  }

  client () {
    return new Kafka({ brokers: [this.bootstrap], logLevel: logLevel.ERROR })
  }

  async info () {
    const { version } = JSON.parse(await import('node:fs').then(fs =>
      fs.readFileSync(new URL('./node_modules/kafkajs/package.json', import.meta.url))))
    return { library: `kafkajs ${version}` }
  }

  // Producers

  async producer_open ({ name, codec, idempotent, extra = {} }) {
    const chosen = new WeakMap()
    const createPartitioner = () => {
      const choose = Partitioners.DefaultPartitioner()
      return asked => {
        const partition = choose(asked)
        chosen.set(asked.message, partition)
        return partition
      }
    }
    const producer = this.kafka.producer({
      createPartitioner,
      ...(idempotent == null ? {} : { idempotent }),
      ...(extra.transactional_id ? { transactionalId: extra.transactional_id, idempotent: true } : {}),
    })
    await producer.connect()
    if (extra.transactional_id) await producer.transaction()
    this.producers.set(name, { producer, chosen, compression: CODECS[codec ?? 'none'], acks: extra.acks })
  }

  async produce ({ producer: name, records }) {
    const { producer, chosen, compression, acks } = this.producers.get(name)
    const answers = []
    const topics = new Map()
    records.forEach((record, index) => {
      const message = {
        key: decode(record.key),
        value: decode(record.value),
        headers: grouped(record.headers),
        timestamp: String(record.timestamp_ms ?? Date.now()),
        ...(record.partition == null ? {} : { partition: record.partition }),
      }
      if (!topics.has(record.topic)) topics.set(record.topic, [])
      topics.get(record.topic).push({ message, index })
    })
    for (const [topic, items] of topics) {
      try {
        const messages = items.map(({ message }) => message)
        const places = await producer.send({ topic, messages, compression, ...(acks == null ? {} : { acks }) })
        const next = new Map((places ?? []).map(place => [place.partition, Number(place.baseOffset)]))
        for (const { message, index } of items) {
          const partition = chosen.get(message)
          const offset = next.get(partition) ?? -1
          next.set(partition, offset + 1)
          answers[index] = { offset, partition, timestamp_ms: Number(message.timestamp) }
        }
      } catch (error) {
        for (const { index } of items) answers[index] = { error: describe(error, fault) }
      }
    }
    return answers
  }

  async producer_close ({ producer }) {
    await this.producers.get(producer).producer.disconnect()
    this.producers.delete(producer)
  }

  // Consumers

  consumer_open ({ name, group, start, auto_commit: autoCommit, extra = {} }) {
    this.consumers.set(name, {
      group: group ?? randomUUID(),
      alone: group == null,
      start,
      commits: group != null && autoCommit !== false,
      extra,
      arrived: new Arrived(),
      assignment: [],
    })
  }

  async join (state, topics, fromBeginning, commits) {
    const { session_timeout_ms: sessionTimeout, heartbeat_interval_ms: heartbeatInterval } = state.extra
    state.consumer = this.client().consumer({
      groupId: state.group,
      maxWaitTimeInMs: 200, // it cannot leave while it waits for records
      ...(sessionTimeout ? { sessionTimeout, heartbeatInterval } : {}),
    })
    const joined = new Promise(resolve => {
      state.consumer.on(state.consumer.events.GROUP_JOIN, ({ payload }) => {
        state.assignment = Object.entries(payload.memberAssignment)
          .flatMap(([topic, partitions]) => partitions.map(partition => [topic, partition]))
        resolve()
      })
    })
    state.consumer.on(state.consumer.events.REBALANCING, () => { state.assignment = [] })
    await state.consumer.connect()
    await state.consumer.subscribe({ topics, fromBeginning })
    await state.consumer.run({
      autoCommit: commits,
      eachMessage: async ({ topic, partition, message }) => {
        if (state.only && !state.only.has(`${topic}\n${partition}`)) return
        state.arrived.records.push(asRecord(topic, partition, message))
      },
    })
    return joined
  }

  async subscribe ({ consumer, topics }) {
    const state = this.consumers.get(consumer)
    await this.join(state, topics, state.start === 'earliest', state.commits)
  }

  async assign ({ consumer, positions }) {
    const state = this.consumers.get(consumer)
    const group = state.group
    state.group = randomUUID() // the one it was given is for committing, without being a member
    state.only = new Set()
    const topics = [...new Set(positions.map(([topic]) => topic))]
    const places = []
    for (const [topic, partition, wanted] of positions) {
      let offset = wanted
      if (typeof wanted === 'string') {
        const [low, high] = await this.watermarks({ topic, partition })
        offset = wanted === 'end' ? high : low
      }
      places.push([topic, partition, offset])
    }
    await this.join(state, topics, true, false)
    for (const [topic, partition, offset] of places) {
      state.consumer.seek({ topic, partition, offset: String(offset) })
      state.only.add(`${topic}\n${partition}`)
    }
    state.group = group
  }

  async seek ({ consumer, topic, partition, offset }) {
    const state = this.consumers.get(consumer)
    state.consumer.seek({ topic, partition, offset: String(offset) })
    await pause(50) // records of a fetch that is on its way are still handed out
    state.arrived.drop(topic, partition)
  }

  poll ({ consumer, count, timeout_s: timeoutS }) {
    return this.consumers.get(consumer).arrived.poll(count, timeoutS)
  }

  assignment ({ consumer }) {
    return this.consumers.get(consumer).assignment
  }

  async commit ({ consumer, positions }) {
    const state = this.consumers.get(consumer)
    const offsets = (positions ?? state.arrived.positions())
      .map(([topic, partition, offset]) => ({ topic, partition, offset: String(offset) }))
    if (!state.alone && !state.only) return state.consumer.commitOffsets(offsets)
    for (const topic of new Set(offsets.map(it => it.topic))) {
      const partitions = offsets.filter(it => it.topic === topic)
      await this.admin(admin => admin.setOffsets({ groupId: state.group, topic, partitions }))
    }
  }

  async committed ({ consumer, partitions }) {
    const groupId = this.consumers.get(consumer).group
    const topics = [...new Set(partitions.map(([topic]) => topic))]
    const found = await this.admin(admin => admin.fetchOffsets({ groupId, topics }))
    return partitions.map(([topic, partition]) => {
      const stored = found.find(it => it.topic === topic).partitions.find(it => it.partition === partition)
      return stored && Number(stored.offset) >= 0 ? Number(stored.offset) : null
    })
  }

  async offsets_for_times ({ times }) {
    return Promise.all(times.map(async ([topic, partition, ms]) => {
      // Where there is none later it answers the end of the partition, not nothing.
      const [found, ends] = await this.admin(admin => Promise.all([
        admin.fetchTopicOffsetsByTimestamp(topic, ms), admin.fetchTopicOffsets(topic),
      ]))
      const offset = Number(found.find(it => it.partition === partition).offset)
      const high = Number(ends.find(it => it.partition === partition).high)
      return offset < high ? offset : null
    }))
  }

  async watermarks ({ topic, partition }) {
    const found = await this.admin(admin => admin.fetchTopicOffsets(topic))
    const { low, high } = found.find(it => it.partition === partition)
    return [Number(low), Number(high)]
  }

  async consumer_close ({ consumer }) {
    await this.consumers.get(consumer).consumer?.disconnect()
    this.consumers.delete(consumer)
  }

  // Administration

  async admin (act) {
    const admin = this.kafka.admin()
    await admin.connect()
    try {
      return await act(admin)
    } finally {
      await admin.disconnect()
    }
  }

  async create_topics ({ topics, configs }) {
    const configEntries = Object.entries(configs ?? {}).map(([name, value]) => ({ name, value }))
    const asked = topics.map(([topic, numPartitions]) => ({ topic, numPartitions, replicationFactor: 1, configEntries }))
    const made = await this.admin(admin => admin.createTopics({ topics: asked, waitForLeaders: false }))
    if (!made) throw Object.assign(new Error('the topic exists'), { code: 36 }) // all it says is false
  }

  async create_partitions ({ topic, count }) {
    await this.admin(admin => admin.createPartitions({ topicPartitions: [{ topic, count }] }))
  }

  async delete_topics ({ topics }) {
    await this.admin(admin => admin.deleteTopics({ topics }))
  }

  async delete_records ({ topic, partition, before }) {
    const partitions = [{ partition, offset: String(before) }]
    await this.admin(admin => admin.deleteTopicRecords({ topic, partitions }))
    return (await this.watermarks({ topic, partition }))[0]
  }

  async list_topics () {
    const { topics } = await this.admin(admin => admin.fetchTopicMetadata())
    return Object.fromEntries(topics.map(({ name, partitions }) => [name, partitions.length]))
  }

  async alter_configs ({ topic, configs }) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }]
    await this.admin(admin => admin.alterConfigs({ validateOnly: false, resources }))
  }

  async topic_configs ({ topic }) {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }]
    const found = await this.admin(admin => admin.describeConfigs({ resources, includeSynonyms: false }))
    const set = found.resources[0].configEntries.filter(it => it.configSource === SET_ON_TOPIC)
    return Object.fromEntries(set.map(it => [it.configName, it.configValue]))
  }

  async list_groups () {
    const { groups } = await this.admin(admin => admin.listGroups())
    return groups.map(it => it.groupId)
  }

  async describe_group ({ group }) {
    const { groups: [found] } = await this.admin(admin => admin.describeGroups([group]))
    return { state: found.state, members_count: found.members.length }
  }

  async delete_group ({ group }) {
    await this.admin(admin => admin.deleteGroups([group]))
  }
}

// Headers are an object: several values of one name are a list.
function grouped (headers) {
  const found = {}
  for (const [name, text] of headers) {
    const value = decode(text)
    found[name] = name in found ? [found[name], value].flat() : value
  }
  return found
}

function asRecord (topic, partition, message) {
  const headers = Object.entries(message.headers ?? {})
    .flatMap(([name, value]) => [value].flat().map(it => [name, encode(it)]))
  return {
    topic,
    partition,
    offset: Number(message.offset),
    timestamp_ms: Number(message.timestamp),
    key: encode(message.key),
    value: encode(message.value),
    headers,
  }
}

await serve(new Worker(process.argv[2]), fault)
