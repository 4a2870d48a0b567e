#!/usr/bin/env python3
"""Asks a running server by unmodified clients, and says which of their calls end as they should.

    tests/clients/install /tmp/clients
    /tmp/clients/main/bin/python tests/clients/matrix.py http://127.0.0.1:8080 [NAME...]

It is run by hand, against the bundled model with structured output's plugin (scripts/grammar). A call that must be
refused ends well when it is refused by name. A client that is not installed is told and not counted. Programs have
environments of their own beside that of the libraries, for they do not agree on versions.

A server whose model knows tools is asked for those alone. This makes such a model of the bundled one:

    cp -r models/nano-uhd /tmp/nano-tools
    cp tests/model/data/tool_templates/qwen25.jinja /tmp/nano-tools/chat_template.jinja
"""

import base64
import importlib.util
import json
import math
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
ROOT = pathlib.Path(__file__).resolve().parents[2]
URL = sys.argv[1].rstrip("/") + "/v1"
DEMO = json.loads((ROOT / "models/nano-uhd/demo/demo.json").read_text())
PAGE = ROOT / "models/nano-uhd/demo" / DEMO["image"]
DATA = "data:image/png;base64," + base64.b64encode(PAGE.read_bytes()).decode()
KEY = "none"
CALLS = {}
# Nothing is fetched: tokenizers are the bundled model's, and data is made here.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "NO_COLOR": "1"}
PROGRAMS = {"lm_eval": "lm-eval", "litellm": "litellm", "guidellm": "guidellm", "aiperf": "aiperf"}


def program(name):
    """The path of a program in its environment, beside the one that this runs in."""
    return pathlib.Path(sys.prefix).parent / PROGRAMS[name] / "bin" / name


def run(name, *arguments, limit=300, **environment):
    done = subprocess.run([program(name), *map(str, arguments)], env={**os.environ, **OFFLINE, **environment},
                          capture_output=True, text=True, timeout=limit)
    assert done.returncode == 0, (done.stdout + done.stderr)[-1500:]
    return done.stdout + done.stderr


def call(*needs, tools=False):
    def add(function):
        CALLS[function.__name__] = (function, needs, tools)
        return function

    return add


def client():
    import openai

    return openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0)


def model():
    return client().models.list().data[0].id


def asked(text_first=False):
    parts = [{"type": "image_url", "image_url": {"url": DATA}}, {"type": "text", "text": DEMO["question"]}]
    return [{"role": "user", "content": parts[::-1] if text_first else parts}]


def right(text):
    assert text.strip() == DEMO["answer"], text


def refused(status, code, ask):
    import openai

    try:
        ask()
    except openai.APIStatusError as error:
        assert error.status_code == status and (code is None or error.code == code), error
        return
    raise AssertionError("is answered")


def schema():
    import pydantic

    class Reading(pydantic.BaseModel):
        number: int

    return Reading


def held(reading):
    assert isinstance(reading.number, int), reading


@call("openai")
def chat():
    for text_first in (False, True):
        reply = client().chat.completions.create(model=model(), temperature=0, messages=asked(text_first))
        right(reply.choices[0].message.content)


@call("openai")
def stream():
    chunks = client().chat.completions.create(model=model(), temperature=0, stream=True, messages=asked(),
                                              stream_options={"include_usage": True})
    chunks = list(chunks)
    right("".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices))
    assert chunks[-1].usage.completion_tokens > 0


@call("openai")
def stream_helper():
    with client().chat.completions.stream(model=model(), temperature=0, messages=asked()) as events:
        for _ in events:
            pass
        right(events.get_final_completion().choices[0].message.content)


@call("openai")
def parse():
    reply = client().chat.completions.parse(model=model(), temperature=0, max_tokens=200, messages=asked(),
                                            response_format=schema())
    held(reply.choices[0].message.parsed)


@call("openai")
def responses():
    items = [{"role": "user", "content": [{"type": "input_image", "image_url": DATA},
                                          {"type": "input_text", "text": DEMO["question"]}]}]
    fields = {"model": model(), "temperature": 0, "input": items}
    right(client().responses.create(**fields).output_text)
    with client().responses.stream(**fields) as events:
        for _ in events:
            pass
        right(events.get_final_response().output_text)


@call("openai")
def responses_parse():
    reply = client().responses.parse(model=model(), temperature=0, input="A number?", text_format=schema(),
                                     max_output_tokens=100)
    held(reply.output_parsed)


@call("openai")
def refusals():
    c = client()
    text = [{"role": "user", "content": "hi"}]
    remote = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/x.png"}}]}]
    refused(404, "model_not_found", lambda: c.chat.completions.create(model="other", messages=text))
    refused(400, "invalid_image_url", lambda: c.chat.completions.create(model=model(), messages=remote))
    many = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": DATA}}] * 17}]  # one more than image.max_images
    refused(400, "too_many_images", lambda: c.chat.completions.create(model=model(), messages=many))
    refused(404, None, lambda: c.embeddings.create(model=model(), input="hi"))
    refused(400, "unsupported_parameter", lambda: c.responses.create(model=model(), input="hi", store=True))
    tool = {"type": "function", "function": {"name": "f"}}
    refused(400, "unsupported_parameter", lambda: c.chat.completions.create(model=model(), messages=text, tools=[tool]))


@call("instructor")
def instructor_json_schema():
    import instructor

    asks = instructor.from_openai(client(), mode=instructor.Mode.JSON_SCHEMA)
    reply = asks.chat.completions.create(model=model(), response_model=schema(), messages=asked(), temperature=0,
                                         max_tokens=200, max_retries=0)
    held(reply)


@call("langchain_openai")
def langchain():
    from langchain_openai import ChatOpenAI

    chat_model = ChatOpenAI(model=model(), base_url=URL, api_key=KEY, temperature=0, max_tokens=200)
    right(chat_model.invoke(asked()).content)
    right("".join(chunk.content for chunk in chat_model.stream(asked())))
    held(chat_model.with_structured_output(schema(), method="json_schema").invoke(asked()))


@call("litellm")
def litellm():
    import litellm as library

    for prefix in ("openai", "hosted_vllm"):
        reply = library.completion(model=f"{prefix}/{model()}", api_base=URL, api_key=KEY, temperature=0, messages=asked())
        right(reply.choices[0].message.content)
    reply = library.completion(model=f"openai/{model()}", api_base=URL, api_key=KEY, temperature=0, messages=asked(),
                               max_tokens=200, response_format={"type": "json_schema", "json_schema": {
                                   "name": "n", "schema": schema().model_json_schema()}})
    schema().model_validate_json(reply.choices[0].message.content)


@call("pydantic_ai")
def pydantic_ai():
    from pydantic_ai import Agent, BinaryContent, NativeOutput
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    asks = OpenAIChatModel(model(), provider=OpenAIProvider(base_url=URL, api_key=KEY))
    settings = {"temperature": 0, "max_tokens": 200}
    picture = BinaryContent(PAGE.read_bytes(), media_type="image/png")
    right(Agent(asks, model_settings=settings).run_sync([DEMO["question"], picture]).output)
    reply = Agent(asks, model_settings=settings, output_type=NativeOutput(schema())).run_sync([DEMO["question"], picture])
    held(reply.output)


@call("llama_index.llms.openai")
def llama_index():
    from llama_index.core.base.llms.types import LLMMetadata
    from llama_index.llms.openai import OpenAI

    class Served(OpenAI):  # the plain class refuses names that it does not know
        @property
        def metadata(self):
            return LLMMetadata(context_window=4096, num_output=8, is_chat_model=True, model_name=self.model)

    reply = Served(model=model(), api_base=URL, api_key=KEY, temperature=0, max_tokens=8).complete("What is this?")
    assert isinstance(reply.text, str)


@call("llm")
def llm():
    folder = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / "uhd-clients-llm"
    folder.mkdir(exist_ok=True)
    (folder / "extra-openai-models.yaml").write_text(
        f"- model_id: served\n  model_name: {model()}\n  api_base: {URL}\n  vision: true\n")
    done = subprocess.run([sys.executable, "-m", "llm", "-m", "served", "-o", "temperature", "0", "-a", str(PAGE), DEMO["question"],
                           "--key", KEY, "--no-log"], env={**os.environ, "LLM_USER_PATH": str(folder)},
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    right(done.stdout)


def knows_tools():
    asked_for = {"messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": {"name": "f"}}]}
    request = urllib.request.Request(URL.removesuffix("/v1") + "/tokenize", json.dumps(asked_for).encode(),
                                     {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"})
    try:
        return urllib.request.urlopen(request).status == 200
    except urllib.error.HTTPError:
        return False


@call("openai", tools=True)
def parse_tools():
    import openai

    fields = {"model": model(), "messages": asked(), "max_tokens": 200, "temperature": 0, "tool_choice": "required",
              "tools": [openai.pydantic_function_tool(schema())]}
    called = client().chat.completions.parse(**fields).choices[0].message.tool_calls
    held(called[0].function.parsed_arguments)
    with client().chat.completions.stream(**fields) as events:
        for _ in events:
            pass
        held(events.get_final_completion().choices[0].message.tool_calls[0].function.parsed_arguments)


@call("instructor", tools=True)
def instructor_tools():
    import instructor

    asks = instructor.from_openai(client(), mode=instructor.Mode.TOOLS)
    held(asks.chat.completions.create(model=model(), response_model=schema(), messages=asked(), temperature=0, max_tokens=200,
                                      max_retries=0))


@call("langchain_openai", tools=True)
def langchain_tools():
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    @tool
    def weather(days: int) -> str:
        """The weather."""
        return "sunny"

    chat_model = ChatOpenAI(model=model(), base_url=URL, api_key=KEY, temperature=0, max_tokens=200, max_retries=0)
    held(chat_model.with_structured_output(schema(), method="function_calling").invoke(asked()))
    bound = chat_model.bind_tools([weather], tool_choice="any")
    whole, summed = bound.invoke("hi"), None
    for chunk in bound.stream("hi"):
        summed = chunk if summed is None else summed + chunk
    for reply in (whole, summed):
        assert reply.tool_calls[0]["name"] == "weather" and isinstance(reply.tool_calls[0]["args"]["days"], int), reply
    result = weather.invoke(whole.tool_calls[0])
    assert chat_model.bind_tools([weather]).invoke([("user", "hi"), whole, result]).usage_metadata["output_tokens"] > 0


@call("pydantic_ai", tools=True)
def pydantic_ai_tools():
    from pydantic_ai import Agent, BinaryContent
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    picture = BinaryContent(PAGE.read_bytes(), media_type="image/png")
    for kind in (OpenAIChatModel, OpenAIResponsesModel):
        asks = kind(model(), provider=OpenAIProvider(base_url=URL, api_key=KEY))
        agent = Agent(asks, output_type=schema(), model_settings={"temperature": 0, "max_tokens": 200})
        held(agent.run_sync([DEMO["question"], picture]).output)


@call("litellm", tools=True)
def litellm_tools():
    import litellm as library
    import openai

    reply = library.completion(model=f"hosted_vllm/{model()}", api_base=URL, api_key=KEY, temperature=0, max_tokens=200,
                               messages=asked(), tools=[openai.pydantic_function_tool(schema())], tool_choice="required")
    held(schema().model_validate_json(reply.choices[0].message.tool_calls[0].function.arguments))


@call("llama_index.llms.openai", tools=True)
def llama_index_tools():
    from llama_index.core import PromptTemplate
    from llama_index.core.base.llms.types import LLMMetadata
    from llama_index.llms.openai import OpenAI

    class Served(OpenAI):
        @property
        def metadata(self):
            return LLMMetadata(context_window=4096, num_output=200, is_chat_model=True, is_function_calling_model=True,
                               model_name=self.model)

    asks = Served(model=model(), api_base=URL, api_key=KEY, temperature=0, max_tokens=200)
    held(asks.structured_predict(schema(), PromptTemplate("What is the number?")))


QUESTIONS = [{"question": f"The number {i} is", "choices": [" even.", " odd.", " three words long"], "answer": i % 2}
             for i in range(6)]


def evaluate(folder, task, kind, *arguments):
    """What lm-eval logs of each of the questions, as one of its tasks."""
    folder = pathlib.Path(folder)
    (folder / "questions.jsonl").write_text("".join(json.dumps(q) + "\n" for q in QUESTIONS))
    head = f"task: asked\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder}/questions.jsonl}}}}\ntest_split: test\n"
    (folder / "asked.yaml").write_text(head + task)
    run("lm_eval", "--model", kind, "--model_args", f"model={model()},base_url={URL}/{arguments[0]},num_concurrent=2,"
        f"max_retries=1,tokenizer_backend=huggingface,tokenizer={ROOT}/models/nano-uhd", "--tasks", "asked", "--include_path", folder,
        "--output_path", folder / "out", "--log_samples", *arguments[1:], HF_HOME=str(folder))
    (log,) = (folder / "out").rglob("samples_asked_*.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


@call("lm_eval")
def lm_eval_choices():
    """The likelihoods of all answers are those that the server tells of the same tokens."""
    task = ("output_type: multiple_choice\ndoc_to_text: question\ndoc_to_choice: choices\ndoc_to_target: answer\n"
            "target_delimiter: ''\nmetric_list: [{metric: acc}]\n")
    with tempfile.TemporaryDirectory() as folder:
        samples = evaluate(folder, task, "local-completions", "completions")
    assert len(samples) == len(QUESTIONS)
    for sample in samples:
        for choice, [logprob, greedy] in zip(sample["doc"]["choices"], (r[0] for r in sample["resps"])):
            whole = sample["doc"]["question"] + choice
            told = client().completions.create(model=model(), prompt=whole, max_tokens=1, temperature=0, extra_body={"prompt_logprobs": 1})
            places, begun = told.choices[0].prompt_logprobs, 0
            parts = [next(iter(p.values())) if p else {"decoded_token": whole[0]} for p in places]
            total, best = 0.0, True
            for part in parts:
                if begun >= len(sample["doc"]["question"]):
                    total += part["logprob"]
                    best = best and part["rank"] == 1
                begun += len(part["decoded_token"])
            assert math.isclose(float(logprob), total, abs_tol=1e-3), (whole, logprob, total)
            assert str(greedy) == str(best), whole


@call("lm_eval")
def lm_eval_generate():
    task = ("output_type: generate_until\ndoc_to_text: question\ndoc_to_target: answer\n"
            "generation_kwargs: {until: [\"\\n\"], max_gen_toks: 8, do_sample: false, temperature: 0}\nmetric_list: [{metric: exact_match}]\n")
    with tempfile.TemporaryDirectory() as folder:
        samples = evaluate(folder, task, "local-chat-completions", "chat/completions", "--apply_chat_template")
    assert len(samples) == len(QUESTIONS)
    for sample in samples:
        messages = [{"role": "user", "content": sample["doc"]["question"]}]
        wanted = client().chat.completions.create(model=model(), messages=messages, max_tokens=8, temperature=0, stop=["\n"])
        assert sample["resps"][0][0] == wanted.choices[0].message.content, sample["resps"]


@call("litellm_proxy")
def litellm_proxy():
    """The client speaks to LiteLLM's proxy, which speaks to the server."""
    import openai

    secret = "sk-" + os.urandom(16).hex()  # the proxy does not start without one
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "config.yaml"
        config.write_text(f"model_list: [{{model_name: served, litellm_params: {{model: hosted_vllm/{model()}, api_base: {URL}, api_key: {KEY}}}}}]\n")
        proxy = subprocess.Popen([program("litellm"), "--config", config, "--port", str(port), "--host", "127.0.0.1"],
                                 env={**os.environ, **OFFLINE, "LITELLM_MASTER_KEY": secret}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            through = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=secret, max_retries=0)
            for _ in range(240):
                try:
                    through.models.list()
                    break
                except openai.OpenAIError:
                    time.sleep(0.5)
            reply = through.chat.completions.create(model="served", temperature=0, messages=asked())
            right(reply.choices[0].message.content)
            assert reply.usage.prompt_tokens_details.cached_tokens >= 0
            chunks = through.chat.completions.create(model="served", temperature=0, messages=asked(), stream=True)
            right("".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices))
            wrong = {"model": "served", "messages": [{"role": "user", "content": "hi"}], "temperature": 9}
            refused(400, None, lambda: through.chat.completions.create(**wrong))
        finally:
            proxy.terminate()
            proxy.wait()


@call("guidellm")
def guidellm():
    """Eight pictures with a question, two at once. It sends fields of vLLM and counts tokens by the stream's usage."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        asked_for = [{"prompt": DEMO["question"], "image": DATA, "output_tokens_count": 8} for _ in range(8)]
        (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked_for))
        run("guidellm", "run", "--backend", f"kind=openai_http,target={URL.removesuffix('/v1')}",
            "--profile", "kind=concurrent,streams=2", "--constraint", "kind=max_requests,count=8",
            "--tokenizer", f"kind=hf_auto,model={ROOT / 'models/nano-uhd'}", "--data", f"kind=json_file,path={folder / 'data.jsonl'}",
            "--output", f"kind=json,path={folder / 'report.json'}", "--disable-progress")
        [report] = json.loads((folder / "report.json").read_text())["benchmarks"]
    assert report["metrics"]["request_totals"]["successful"] == 8, report["metrics"]["request_totals"]
    for request in report["requests"]["successful"]:
        assert request["output"].startswith(DEMO["answer"]), request["output"]  # it asks to ignore the end
        assert request["output_metrics"]["text_tokens"] == 8, request["output_metrics"]


@call("aiperf")
def aiperf():
    """Eight random pictures and texts, two at once."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        # It takes tokenizers of the hub alone, so the bundled one lies where the hub's client keeps what it has.
        hub = folder / "hub" / "models--served--bundled"
        (hub / "refs").mkdir(parents=True)
        (hub / "refs" / "main").write_text("0")
        (hub / "snapshots" / "0").mkdir(parents=True)
        for file in (ROOT / "models/nano-uhd").glob("*.json"):
            (hub / "snapshots" / "0" / file.name).write_bytes(file.read_bytes())
        run("aiperf", "profile", "--model", model(), "--url", URL.removesuffix("/v1"), "--endpoint-type", "chat", "--streaming",
            "--tokenizer", "served/bundled", "--concurrency", "2", "--request-count", "8", "--isl", "64", "--osl", "16",
            "--extra-inputs", "ignore_eos:true", "--image-width-mean", "448", "--image-height-mean", "448",
            "--ui", "none", "--output-artifact-dir", folder / "report", HF_HUB_CACHE=str(folder / "hub"))
        report = json.loads((folder / "report" / "profile_export_aiperf.json").read_text())
    assert report["request_count"]["avg"] == 8 and not report["error_summary"], report
    assert report["usage_completion_tokens"]["avg"] == 16, report["usage_completion_tokens"]


def there(module):
    if module.removesuffix("_proxy") in PROGRAMS and module != "litellm":
        return program(module.removesuffix("_proxy")).exists()
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main():
    failed = 0
    with_tools = knows_tools()
    for name in sys.argv[2:] or CALLS:
        function, needs, tools = CALLS[name]
        if tools != with_tools and name not in sys.argv[2:]:
            continue
        missing = [module for module in needs if not there(module)]
        if missing:
            print(f"{name}: not asked, for {missing[0]} is not installed")
            continue
        try:
            function()
            print(f"{name}: well")
        except Exception as error:  # of any client
            failed += 1
            print(f"{name}: {type(error).__name__}: {str(error)[-500:]}")
    sys.exit(failed > 0)


main()
