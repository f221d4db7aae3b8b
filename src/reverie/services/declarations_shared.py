"""What every declaration for editors holds, whatever the service."""

from __future__ import annotations

from typing import Final

TYPESCRIPT: Final = """
/** The call that the script hangs on. */
interface ScriptRequest<Payload = any> {
  api_version: string;
  method: string;
  parameters: Record<string, any>;
  headers: Record<string, string>;
  /** The decoded body; null when it cannot be decoded. */
  payload: Payload;
  /** The body as it came. */
  content: string;
  content_type: string;
  uri: string;
  service: string;
  resource: string;
}
/** Its answer; absent before it: a pre_process script that sets it answers in place of the service. */
interface ScriptResponse<Content = any> {
  content: Content;
  status_code?: number;
  content_type?: string | null;
  /** 201 for a structure, 0 for text and bytes. */
  format?: number;
  headers?: Record<string, string>;
}
interface ScriptEvent<Payload = any, Content = any> {
  /** The part of the path that the event's name leaves open. */
  resource: any;
  request: ScriptRequest<Payload>;
  response: ScriptResponse<Content>;
  stop_propagation?: boolean;
}
/** What a call through `platform.api` gives; a status from 400 on is no exception. */
interface ScriptResult {
  status_code: number;
  content: any;
  content_type: string | null;
  format: number;
  headers: Record<string, string>;
}
interface ScriptOptions {
  parameters?: Record<string, any>;
  headers?: Record<string, string> | string[];
  [option: string]: any;
}
interface ScriptSession {
  api_key: string | null;
  session_token: string | null;
  app: { id: number | null };
  /** Absent without a user. */
  user?: {
    id: number; name: string; username: string | null; display_name: string | null; first_name: string | null;
    last_name: string | null; email: string; is_sys_admin: boolean; last_login_date: string | null;
    ldap_username: string | null;
  };
  /** Absent for an administrator. */
  role?: { id: number; name: string; services: Record<string, any>[] };
  lookup: Record<string, string>;
}
interface ScriptPlatform {
  api: ScriptApi;
  session: ScriptSession;
  config: Record<string, any>;
  /** A map of this script's own; values last 15 minutes. */
  store: ScriptStore;
}
"""
TYPESCRIPT_DIRECT: Final = """
interface ScriptApi {
  call(verb: string, path: string, payload?: any, options?: ScriptOptions): ScriptResult;
  get(path: string, payload?: any, options?: ScriptOptions): ScriptResult;
  post(path: string, payload?: any, options?: ScriptOptions): ScriptResult;
  put(path: string, payload?: any, options?: ScriptOptions): ScriptResult;
  patch(path: string, payload?: any, options?: ScriptOptions): ScriptResult;
  delete(path: string, payload?: any, options?: ScriptOptions): ScriptResult;
}
interface ScriptStore {
  get(key: string, missing?: any): any;
  set(key: string, value: any): void;
}
declare function print(...values: any[]): void;
declare function var_dump(...values: any[]): void;
"""
TYPESCRIPT_PROMISES: Final = """
interface ScriptReply {
  statusCode: number;
  headers: Record<string, string>;
  content: any;
}
type ScriptCallback = (body: string, response: ScriptReply) => void;
interface ScriptApi {
  call(verb: string, path: string, ...rest: any[]): Promise<ScriptResult>;
  get(path: string, options?: ScriptOptions | null, callback?: ScriptCallback): Promise<ScriptResult>;
  post(path: string, payload?: any, options?: ScriptOptions | null, callback?: ScriptCallback): Promise<ScriptResult>;
  put(path: string, payload?: any, options?: ScriptOptions | null, callback?: ScriptCallback): Promise<ScriptResult>;
  patch(path: string, payload?: any, options?: ScriptOptions | null, callback?: ScriptCallback): Promise<ScriptResult>;
  delete(path: string, payload?: any, options?: ScriptOptions | null, callback?: ScriptCallback): Promise<ScriptResult>;
}
interface ScriptStore {
  get(key: string, missing?: any, callback?: (value: any) => void): Promise<any>;
  set(key: string, value: any, callback?: (value: any) => void): Promise<void>;
}
interface ScriptEvent<Payload = any, Content = any> {
  setReturn(value: any): void;
  setRequest(request: ScriptRequest<any>): void;
  setResponse(content: any, status_code?: number, content_type?: string): void;
}
"""
PYTHON: Final = """
from typing import Any

class Map(dict[str, Any]):
    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...

class BaseRequest(Map):
    api_version: str
    method: str
    parameters: dict[str, Any]
    headers: dict[str, str]
    content: str
    content_type: str
    uri: str
    service: str
    resource: str

class BaseResponse(Map):
    status_code: int
    content_type: str | None
    format: int
    headers: dict[str, str]

class Result(Map):
    status_code: int
    content: Any
    content_type: str | None
    format: int
    headers: dict[str, str]
    status: int
    def read(self) -> str: ...
    def getcode(self) -> int: ...

class Api:
    def call(self, verb: str, path: str, payload: Any = None, options: dict[str, Any] | None = None) -> Result: ...
    def get(self, path: str, options: dict[str, Any] | None = None) -> Result: ...
    def post(self, path: str, payload: Any = None, options: dict[str, Any] | None = None) -> Result: ...
    def put(self, path: str, payload: Any = None, options: dict[str, Any] | None = None) -> Result: ...
    def patch(self, path: str, payload: Any = None, options: dict[str, Any] | None = None) -> Result: ...
    def delete(self, path: str, payload: Any = None, options: dict[str, Any] | None = None) -> Result: ...

class Store:
    def get(self, key: str, default: Any = None) -> Any: ...
    def set(self, key: str, value: Any) -> None: ...

class Session(Map):
    api_key: str | None
    session_token: str | None
    app: Map
    user: Map
    role: Map
    lookup: dict[str, str]

class Platform(Map):
    api: Api
    session: Session
    config: Map
    store: Store
"""
PYTHON_EVENT: Final = """
class Event(Map):
    resource: Any
    request: Request
    response: Response
    stop_propagation: bool

event: Event
platform: Platform
"""
