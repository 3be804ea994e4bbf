/** Types of the Hookbox browser client. Reference: docs/client.md. */

export as namespace hookbox;

/**
 * Connect, and stay connected until `disconnect()`, or until the server says not to come back.
 *
 * @param url where Hookbox is: `http://host:8001`, with or without a path; relative to the page if need be
 * @param payload anything JSON, handed to the application's `connect` webhook; a function is asked at every connect
 * @param cookieString cookies for the application that the request itself does not carry; `document.cookie` if absent
 */
export function connect(
  url: string,
  payload?: unknown | (() => unknown),
  cookieString?: string,
  options?: Options
): Connection;

export interface Options {
  /** Allow one transport only. Default: WebSocket first, comet when that does not get through. */
  transport?: '' | 'websocket' | 'comet';
  /** False: comet by long polls only. Default true. */
  streaming?: boolean;
  /** False: the first lost connection is the end. Default true. */
  reconnect?: boolean;
  /** Seconds for a transport to open; being accepted may take twice that. Default 8. */
  connectTimeout?: number;
  /** Seconds of silence before the client asks whether the server is there. Default: what the server says (25). */
  pingInterval?: number;
  /** Seconds of silence after that until the connection counts as lost. Default 10. */
  pongTimeout?: number;
  /** Seconds, the first and smallest ceiling of the random wait between tries. Default 0.5. */
  minDelay?: number;
  /** Seconds, the largest ceiling. Default 30. */
  maxDelay?: number;
  /** Publishes and messages kept while there is no connection. Default 100. */
  queueSize?: number;
  /** Seconds they are kept. Default 30. */
  queueTimeout?: number;
  /** The WebSocket to use; null for none. Node before version 22 has none of its own. */
  WebSocket?: SocketConstructor | null;
  fetch?: (url: string, init: any) => Promise<any>;
  /** For tests: timers, a monotonic clock in milliseconds, and a draw from [0, 1). */
  setTimeout?: (callback: () => void, ms: number) => any;
  clearTimeout?: (id: any) => void;
  now?: () => number;
  random?: () => number;
}

export type SocketConstructor = new (url: string) => any;

/** `refused`: the application said no; `waiting`: for the next try; `closed`: for good, or until `reconnect()`. */
export type State = 'connecting' | 'connected' | 'refused' | 'waiting' | 'offline' | 'closed';

/** Words of the server, and two of the client: see docs/client.md. */
export type ErrorCode =
  | 'bad_json'
  | 'bad_frame'
  | 'unknown_frame'
  | 'not_connected'
  | 'already_connected'
  | 'bad_channel'
  | 'no_such_user'
  | 'denied'
  | 'app_unavailable'
  | 'too_large'
  | 'limit'
  | 'rate'
  | 'unavailable'
  | 'internal'
  | 'unacknowledged'
  | 'not_sent';

export interface HookboxError extends Error {
  /** The text of the server; the same as `message`. */
  msg: string;
  /** Absent from servers before 1.0. */
  code?: ErrorCode | (string & {});
  /** Number of the frame at fault, if there is one. */
  id: number | null;
  /** When to try again, in milliseconds, where the server knows; connecting and subscribing again are tried by themselves. */
  retry_ms?: number;
}

/** What is known of the reason for a state or of the end of a connection. */
export interface Reason {
  /** Close code; absent when the connection was just cut. */
  code?: number | string;
  reason?: string;
  /** In the state `waiting` or `offline`: milliseconds until the next try. */
  delay?: number;
  [more: string]: unknown;
}

/** Where a publication stands; absent for one that went to its sender only. */
export interface Position {
  offset?: number;
  epoch?: string;
}

export interface Connected {
  /** The user name the application gave. */
  name: string;
  payload: any;
  conn_id?: string;
  version?: string;
  features?: string[];
  ping_interval?: number;
}

export interface Publication<T = any> {
  channel_name: string;
  payload: T;
  /** Local time of the server, `YYYY-MM-DDTHH:MM:SS`. */
  datetime: string;
  /** Absent on anonymous channels. */
  user?: string | null;
  /** Absent if it went to its sender only. */
  offset?: number;
  presence?: string[];
  message_id?: string;
}

export interface PresenceChange {
  channel_name: string;
  user: string;
  datetime?: string;
  /** Our own subscription ended because the application denied it at a reconnect. */
  error?: HookboxError;
}

export interface StateChange {
  channel_name: string;
  updates: { [key: string]: any };
  deletes: string[];
}

export interface Message<T = any> {
  sender: string;
  recipient: string;
  payload: T;
  datetime: string;
}

export interface Recovery {
  /** False: publications may be missing that nobody will send again. */
  recovered: boolean;
  /** How many were missed and have just been given to `onPublish`. */
  missed: number;
}

export type HistoryEntry = ['PUBLISH' | 'SUBSCRIBE' | 'UNSUBSCRIBE', { [key: string]: any }];

export interface Subscribed {
  channel_name: string;
  user: string;
  history: HistoryEntry[];
  history_size: number;
  history_duration: number;
  state: { [key: string]: any };
  presence: string[];
  initial_data?: any;
  offset?: number;
  epoch?: string;
}

export interface SubscriptionEvents<T = any> {
  publish: (publication: Publication<T>) => void;
  subscribe: (change: PresenceChange) => void;
  unsubscribe: (change: PresenceChange) => void;
  state: (change: StateChange) => void;
  recovered: (recovery: Recovery) => void;
}

/** A channel this connection listens to; the same object across reconnects. */
export interface Subscription<T = any> {
  readonly channelName: string;
  readonly history: HistoryEntry[];
  readonly historySize: number;
  readonly historyDuration: number;
  readonly presence: string[];
  readonly state: { [key: string]: any };
  readonly canceled: boolean;
  readonly offset?: number;
  readonly epoch?: string;

  publish(payload?: T): Promise<Position>;
  cancel(): Promise<void>;

  on<E extends keyof SubscriptionEvents<T>>(event: E, listener: SubscriptionEvents<T>[E]): this;
  off<E extends keyof SubscriptionEvents<T>>(event: E, listener?: SubscriptionEvents<T>[E]): this;

  onPublish?: SubscriptionEvents<T>['publish'];
  onSubscribe?: SubscriptionEvents<T>['subscribe'];
  onUnsubscribe?: SubscriptionEvents<T>['unsubscribe'];
  onState?: SubscriptionEvents<T>['state'];
  onRecovered?: SubscriptionEvents<T>['recovered'];
}

export interface ConnectionEvents {
  open: (args: Connected) => void;
  reconnected: (args: Connected) => void;
  close: (reason: Reason) => void;
  connectionLost: (reason: 'ConnectionTimeout') => void;
  error: (error: HookboxError) => void;
  state: (state: State, reason: Reason) => void;
  subscribed: (channelName: string, subscription: Subscription, args: Subscribed) => void;
  unsubscribed: (subscription: Subscription, change: PresenceChange) => void;
  recovered: (channelName: string, subscription: Subscription, recovery: Recovery) => void;
  messaged: (message: Message) => void;
  /** The browser has, or could not get, cookies of the application that script must not see. */
  cookies: (outcome: { ok: boolean }) => void;
}

/** A promise of a subscription that can be canceled before it is there. */
export interface SubscriptionPromise<T = any> extends Promise<Subscription<T>> {
  cancel(): Promise<void>;
}

export interface Connection {
  readonly url: string;
  readonly state: State;
  readonly connected: boolean;
  /** The user name, null before the first connect. */
  readonly username: string | null;
  /** The server's name for this connection. */
  readonly id?: string;
  readonly transport?: 'websocket' | 'comet';
  /** By channel name. */
  readonly subscriptions: ReadonlyMap<string, Subscription>;

  subscribe<T = any>(channelName: string): SubscriptionPromise<T>;
  publish(channelName: string, payload?: unknown): Promise<Position>;
  message(userName: string, payload?: unknown): Promise<{}>;
  /** End for good; what was written before is still sent. */
  disconnect(): void;
  /** Connect anew at once, as after a login; also from the states `refused` and `closed`. */
  reconnect(): void;

  on<E extends keyof ConnectionEvents>(event: E, listener: ConnectionEvents[E]): this;
  off<E extends keyof ConnectionEvents>(event: E, listener?: ConnectionEvents[E]): this;

  onOpen?: ConnectionEvents['open'];
  onReconnected?: ConnectionEvents['reconnected'];
  onClose?: ConnectionEvents['close'];
  onConnectionLost?: ConnectionEvents['connectionLost'];
  onError?: ConnectionEvents['error'];
  onState?: ConnectionEvents['state'];
  onSubscribed?: ConnectionEvents['subscribed'];
  onUnsubscribed?: ConnectionEvents['unsubscribed'];
  onRecovered?: ConnectionEvents['recovered'];
  onMessaged?: ConnectionEvents['messaged'];
  onCookies?: ConnectionEvents['cookies'];
}
