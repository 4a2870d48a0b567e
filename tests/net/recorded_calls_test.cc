// Calls of tools as models really wrote them, where these were published, and the form in which a client gets
// them: whole, and streamed in pieces of several sizes. Tokens that end an answer are left off, as the
// tokenizer leaves them off.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/error.h"
#include "net/openai.h"

namespace uhd {
namespace {

namespace json = boost::json;

struct RecordedAnswer {
  const char* source;
  ToolForm form;
  std::string text;
  std::string content;             // that remains beside the calls
  std::vector<std::string> calls;  // name(arguments)
};

const std::vector<RecordedAnswer>& recorded_answers() {
  static const std::vector<RecordedAnswer> answers = {
      {"Qwen2.5-7B-Instruct: Qwen's documentation v2.5, 'Function Calling', with Transformers",
       ToolForm::hermes,
       "<tool_call>\n{\"name\": \"get_current_temperature\", \"arguments\": {\"location\": \"San Francisco, "
       "CA, "
       "USA\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"get_temperature_date\", \"arguments\": "
       "{\"location\": "
       "\"San Francisco, CA, USA\", \"date\": \"2024-10-01\"}}\n</tool_call>",
       "",
       {R"(get_current_temperature({"location": "San Francisco, CA, USA"}))",
        R"(get_temperature_date({"location": "San Francisco, CA, USA", "date": "2024-10-01"}))"}},
      {"Qwen2.5-72B-Instruct, under its first template: QwenLM/Qwen3, issue 924",
       ToolForm::hermes,
       "<tool_call>\n{{\"name\": \"ip_query\", \"arguments\": {\"input\": \"1.2.3.4\"}}}\n</tool_call>",
       "",
       {R"(ip_query({"input": "1.2.3.4"}))"}},
      {"Qwen2.5-72B-Instruct, which left out the last brace: QwenLM/Qwen3, issue 1072 (one score less)",
       ToolForm::hermes,
       "<tool_call>\n{\"name\": \"text_classification\", \"arguments\": {\"classifications\": "
       "[{\"classification\": \"test\", \"score\": 0.9563}, {\"classification\": \"test3\", \"score\": "
       "0.0102}]}\n</tool_call>",
       "",
       {R"(text_classification({"classifications": [{"classification": "test", "score": 0.9563}, )"
        R"({"classification": "test3", "score": 0.0102}]}))"}},
      {"Hermes-2-Pro-Llama-3-8B, arguments first: the documentation of Transformers, 'Tool use'",
       ToolForm::hermes,
       "<tool_call>\n{\"arguments\": {\"location\": \"Paris, France\", \"unit\": \"celsius\"}, \"name\": "
       "\"get_current_temperature\"}\n</tool_call>",
       "",
       {R"(get_current_temperature({"location":"Paris, France","unit":"celsius"}))"}},
      {"qwen2.5-coder:14b, without marks: ollama/ollama, issue 12174",
       ToolForm::hermes,
       "{\"name\": \"calculator\", \"arguments\": {\"expr\": \"17 * 23\"}}",
       "",
       {R"(calculator({"expr": "17 * 23"}))"}},
      {"Llama-3.1-8B-Instruct in four bits: raullenchai/Rapid-MLX, issue 700",
       ToolForm::llama3,
       "{\"name\": \"web_search\", \"parameters\": {\"query\": \"你好\"}}",
       "",
       {"web_search({\"query\": \"你好\"})"}},
      {"Llama 3.1: meta-llama/llama-models, prompt_format.md, 'JSON based tool calling'",
       ToolForm::llama3,
       "<|python_tag|>{\n    \"type\": \"function\",\n    \"name\": \"trending_songs\",\n    \"parameters\": "
       "{\n "
       "       \"n\": \"10\",\n        \"genre\": \"all\"\n    }\n}",
       "",
       {"trending_songs({\n        \"n\": \"10\",\n        \"genre\": \"all\"\n    })"}},
      {"Llama 3.1, a tool of its own: the same file, 'Builtin Tool Calling'",
       ToolForm::llama3,
       "<|python_tag|>brave_search.call(query=\"latest price of 1oz gold\")",
       "<|python_tag|>brave_search.call(query=\"latest price of 1oz gold\")",
       {}},
      {"Llama 3.2, asked for Python: meta-llama/llama-models, text_prompt_format.md",
       ToolForm::llama3,
       "[get_weather(city='San Francisco', metric='celsius'), get_weather(city='Seattle', metric='celsius')]",
       "[get_weather(city='San Francisco', metric='celsius'), get_weather(city='Seattle', metric='celsius')]",
       {}},
  };
  return answers;
}

ReplyWriter recorded_writer(const RecordedAnswer& answer, bool stream) {
  ModelInfo model{"fake", "text", false, 2048, 1000};
  model.tools = answer.form;
  json::array tools{{{"type", "function"}, {"function", {{"name", "f"}}}}};
  for (const std::string& one : answer.calls)
    tools.push_back({{"type", "function"}, {"function", {{"name", one.substr(0, one.find('('))}}}});
  const json::object body{
      {"messages", {{{"role", "user"}, {"content", "hi"}}}}, {"tools", tools}, {"stream", stream}};
  auto call = parse_call(Endpoint::chat, json::serialize(body), model, {});
  if (const auto* error = std::get_if<ApiError>(&call)) throw Error(error->message);
  return {std::get<Call>(std::move(call)), "chatcmpl-1", 1};
}

// Gives the answer to the writer in pieces of so many bytes, but of whole characters, as the engine does, and
// returns the frames.
std::string give_in_pieces(ReplyWriter& writer, const std::string& text, size_t bytes) {
  std::string frames;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.size(), at + bytes);
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
    TokenEvent event;
    event.text = text.substr(at, end - at);
    event.ids = {1};
    if (end == text.size()) {
      event.finish = FinishReason::stop;
      event.usage = Usage{};
    }
    frames += writer.take(0, std::move(event));
    at = end;
  }
  return frames;
}

struct ToldAnswer {
  std::string content;
  std::vector<std::string> calls;
  std::string finish;
};

std::string text_of(const json::object& fields, std::string_view name) {
  const json::value* value = fields.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

ToldAnswer told_whole(const std::string& body) {
  const json::value parsed = json::parse(body);
  const json::object& choice = parsed.at("choices").as_array().at(0).as_object();
  const json::object& message = choice.at("message").as_object();
  ToldAnswer told{text_of(message, "content"), {}, text_of(choice, "finish_reason")};
  if (const auto* calls = message.if_contains("tool_calls")) {
    for (const json::value& call : calls->as_array()) {
      EXPECT_EQ(text_of(call.as_object(), "type"), "function");
      const json::object& function = call.at("function").as_object();
      told.calls.push_back(text_of(function, "name") + '(' + text_of(function, "arguments") + ')');
    }
  }
  return told;
}

ToldAnswer told_in_frames(std::string_view frames) {
  constexpr std::string_view kData = "data: ";
  ToldAnswer told;
  for (size_t at = frames.find(kData); at != std::string_view::npos; at = frames.find(kData, at)) {
    at += kData.size();
    const std::string_view data = frames.substr(at, frames.find("\n\n", at) - at);
    if (data == "[DONE]") continue;
    const json::value frame = json::parse(data);
    for (const json::value& choice : frame.at("choices").as_array()) {
      told.finish += text_of(choice.as_object(), "finish_reason");
      const json::object& delta = choice.at("delta").as_object();
      told.content += text_of(delta, "content");
      const auto* calls = delta.if_contains("tool_calls");
      if (calls == nullptr) continue;
      for (const json::value& call : calls->as_array()) {
        const auto index = static_cast<size_t>(call.at("index").as_int64());
        const json::object& function = call.at("function").as_object();
        if (index == told.calls.size()) told.calls.push_back(text_of(function, "name") + '(');
        told.calls.at(index) += text_of(function, "arguments");
      }
    }
  }
  for (std::string& call : told.calls) call += ')';
  return told;
}

TEST(RecordedCalls, AreToldWholeAndInPieces) {
  for (const RecordedAnswer& answer : recorded_answers()) {
    for (const size_t bytes : {size_t{1}, size_t{2}, size_t{3}, size_t{5}, size_t{16}, answer.text.size()}) {
      SCOPED_TRACE(message(answer.source, ", in pieces of ", bytes));
      ReplyWriter whole = recorded_writer(answer, false), streamed = recorded_writer(answer, true);
      give_in_pieces(whole, answer.text, bytes);
      for (const ToldAnswer& told :
           {told_whole(whole.body()), told_in_frames(give_in_pieces(streamed, answer.text, bytes))}) {
        EXPECT_EQ(told.content, answer.content);
        EXPECT_EQ(told.calls, answer.calls);
        EXPECT_EQ(told.finish, answer.calls.empty() ? "stop" : "tool_calls");
      }
    }
  }
}

}  // namespace
}  // namespace uhd
