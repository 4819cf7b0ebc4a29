// The worker's side of the JSON-lines conversation (see rpc.py): each operation is a method.

import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'

export const encode = bytes => (bytes == null ? null : Buffer.from(bytes).toString('base64'))
export const decode = text => (text == null ? null : Buffer.from(text, 'base64'))
export const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

// Answers requests in order until stdin ends; fault tells Kafka's code of an error, or null.
export async function serve (worker, fault) {
  console.log = console.info = console.warn = console.error // a line of a library is no answer
  process.on('unhandledRejection', error => console.error('unhandled:', error))
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, op, args } = JSON.parse(line)
    let answer
    try {
      answer = { id, result: (await worker[op](args)) ?? null }
    } catch (error) {
      answer = { id, error: describe(error, fault) }
    }
    const bytes = Buffer.from(JSON.stringify(answer) + '\n')
    for (let at = 0; at < bytes.length;) at += write(bytes, at)
  }
  process.exit(0)
}

function write (bytes, at) {
  try {
    return writeSync(1, bytes, at)
  } catch (error) {
    if (error.code === 'EAGAIN') return 0 // the reader is slower
    throw error
  }
}

export function describe (error, fault) {
  const code = fault(error)
  return { code, name: error.type ?? error.name, text: String(error.message).slice(0, 2000) }
}

// Records that a library hands out when it likes, until somebody polls for them.
export class Arrived {
  records = []
  polled = new Map() // of partitions, the offset after the last record handed out

  async poll (count, timeoutS) {
    const end = performance.now() + timeoutS * 1000
    while (this.records.length < count && performance.now() < end) await pause(5)
    const taken = this.records.splice(0, count)
    for (const { topic, partition, offset } of taken) this.polled.set(`${topic}\n${partition}`, offset + 1)
    return taken
  }

  drop (topic, partition) {
    this.records = this.records.filter(item => item.topic !== topic || item.partition !== partition)
  }

  positions () {
    return [...this.polled].map(([key, offset]) => [...key.split('\n').map((it, at) => at ? Number(it) : it), offset])
  }
}
