// Tests every field of the API, right and wrong: a wrong one is a 400 that names the field.
#include <gtest/gtest.h>

#include "base/error.h"
#include "net/openai.h"

namespace uhd {
namespace {

const ModelInfo kModel{"fake", "llava-uhd-v1", true, 2048, 1000};
const NetOptions kLimits{.max_choices = 4, .max_messages = 3, .max_images = 2, .max_image_bytes = 100};
constexpr std::string_view kPng = "data:image/png;base64,iVBORw0KGgo=";

std::variant<Call, ApiError> chat(const std::string& body, const ModelInfo& model = kModel) {
  return parse_call(Endpoint::chat, body, model, kLimits);
}
std::variant<Call, ApiError> completions(const std::string& body) {
  return parse_call(Endpoint::completions, body, kModel, kLimits);
}
std::string with(const std::string& fields) {
  return R"({"messages":[{"role":"user","content":"hi"}],)" + fields + "}";
}
Call good(const std::variant<Call, ApiError>& result) {
  if (const auto* error = std::get_if<ApiError>(&result)) ADD_FAILURE() << error->message;
  return std::holds_alternative<Call>(result) ? std::get<Call>(result) : Call{.requests = {Request()}};
}
ApiError bad(const std::variant<Call, ApiError>& result) {
  EXPECT_TRUE(std::holds_alternative<ApiError>(result)) << "was taken as a good call";
  return std::holds_alternative<ApiError>(result) ? std::get<ApiError>(result) : ApiError{};
}

TEST(OpenAiRequest, TakesAPlainChat) {
  const Call call = good(chat(with(R"("temperature":0)")));
  ASSERT_EQ(call.requests.size(), 1u);
  const Request& r = call.requests[0];
  ASSERT_EQ(r.messages.size(), 1u);
  EXPECT_EQ(r.messages[0].role, "user");
  EXPECT_EQ(r.messages[0].parts[0].text, "hi");
  EXPECT_EQ(r.sampling.temperature, 0);
  EXPECT_EQ(r.sampling.seed, std::nullopt);
  EXPECT_EQ(r.stop.max_tokens, 0);
  EXPECT_FALSE(call.stream);
}

TEST(OpenAiRequest, TakesEveryField) {
  const Call call = good(chat(with(
      R"("temperature":1.5,"top_p":0.5,"top_k":40,"min_p":0.1,"repetition_penalty":1.2,"presence_penalty":-1,
         "frequency_penalty":2,"seed":-5,"stop":["a","b"],"stop_token_ids":[3],"logprobs":true,"top_logprobs":4,
         "logit_bias":{"7":-100,"8":1.5},"n":3,"stream":true,"stream_options":{"include_usage":true},
         "priority":-3,"ignore_eos":true,"min_tokens":2,"max_tokens":9,"max_completion_tokens":10,"user":"u",
         "response_format":{"type":"text"},"tools":[],"unknown":null,
         "include_stop_str_in_output":true,"skip_special_tokens":false,"allowed_token_ids":[4,3],"bad_words":["x"],
         "truncate_prompt_tokens":7,"timeline":true)")));
  ASSERT_EQ(call.requests.size(), 1u);
  const Request& r = call.requests[0];
  EXPECT_EQ(r.n, 3);
  EXPECT_TRUE(r.timeline);
  EXPECT_FLOAT_EQ(r.sampling.temperature, 1.5f);
  EXPECT_FLOAT_EQ(r.sampling.top_p, 0.5f);
  EXPECT_EQ(r.sampling.top_k, 40);
  EXPECT_FLOAT_EQ(r.sampling.min_p, 0.1f);
  EXPECT_FLOAT_EQ(r.sampling.repetition_penalty, 1.2f);
  EXPECT_FLOAT_EQ(r.sampling.presence_penalty, -1);
  EXPECT_FLOAT_EQ(r.sampling.frequency_penalty, 2);
  EXPECT_EQ(r.sampling.seed, static_cast<uint64_t>(-5));
  EXPECT_EQ(r.sampling.logprobs, 4);
  EXPECT_EQ(r.sampling.logit_bias, (std::map<int32_t, float>{{7, -100}, {8, 1.5f}}));
  EXPECT_EQ(r.stop.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(r.stop.stop_ids, std::vector<int32_t>{3});
  EXPECT_EQ(r.stop.max_tokens, 10);
  EXPECT_EQ(r.stop.min_tokens, 2);
  EXPECT_TRUE(r.stop.ignore_eos);
  EXPECT_TRUE(r.stop.keep_stop);
  EXPECT_FALSE(r.stop.skip_special);
  EXPECT_EQ(r.sampling.allowed_ids, (std::vector<int32_t>{4, 3}));
  EXPECT_EQ(r.sampling.bad_words, std::vector<std::string>{"x"});
  EXPECT_EQ(r.truncate_prompt, 7);
  EXPECT_EQ(r.priority, -3);
  EXPECT_TRUE(call.stream);
  EXPECT_TRUE(call.include_usage);
  EXPECT_TRUE(call.logprobs);
}

TEST(OpenAiRequest, AConversationEndsWithANewTurnOrInsideTheLast) {
  const auto ends_of = [](const std::string& fields) {
    const Request r = good(chat(with(fields))).requests[0];
    return std::pair(r.add_generation_prompt, r.continue_final_message);
  };
  EXPECT_EQ(ends_of(R"("n":1)"), std::pair(true, false));
  EXPECT_EQ(ends_of(R"("add_generation_prompt":false)"), std::pair(false, false));
  EXPECT_EQ(ends_of(R"("continue_final_message":true)"), std::pair(false, true));
  EXPECT_EQ(ends_of(R"("continue_final_message":true,"add_generation_prompt":false)"),
            std::pair(false, true));
  EXPECT_EQ(bad(completions(R"({"prompt":"a","continue_final_message":true})")).param,
            "continue_final_message");
}

TEST(OpenAiRequest, TakesTextAndImagesInOrder) {
  const Call call = good(chat(R"({"messages":[{"role":"developer","content":"s"},{"role":"user","content":[
      {"type":"text","text":"a"},{"type":"image_url","image_url":{"url":")" +
                              std::string(kPng) + R"(","detail":"high"}},{"type":"text","text":"b"}]}]})"));
  const auto& messages = call.requests[0].messages;
  EXPECT_EQ(messages[0].role, "system");
  ASSERT_EQ(messages[1].parts.size(), 3u);
  EXPECT_EQ(messages[1].parts[0].text, "a");
  ASSERT_NE(messages[1].parts[1].image, nullptr);
  EXPECT_EQ(messages[1].parts[1].image->substr(1, 3), "PNG");
  EXPECT_EQ(messages[1].parts[2].text, "b");
  EXPECT_EQ(call.places.prompt, "messages");
  EXPECT_EQ(call.places.images, std::vector<std::string>{"messages[1].content[1].image_url"});
}

TEST(OpenAiRequest, AnImageSaysHowCloselyItIsLookedAt) {
  const auto rule_of = [](const std::string& fields) {
    return good(chat(R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":")" +
                     std::string(kPng) + "\"" + fields + "}}]}]}"))
        .requests[0]
        .messages[0]
        .parts.at(0)
        .rule;
  };
  EXPECT_EQ(rule_of("").detail, ImageDetail::automatic);
  EXPECT_EQ(rule_of("").max_slices, 0);
  EXPECT_EQ(rule_of(R"(,"detail":null,"max_slices":null)").detail, ImageDetail::automatic);
  EXPECT_EQ(rule_of(R"(,"detail":"auto")").detail, ImageDetail::automatic);
  EXPECT_EQ(rule_of(R"(,"detail":"low")").detail, ImageDetail::low);
  EXPECT_EQ(rule_of(R"(,"detail":"high","max_slices":3)").detail, ImageDetail::high);
  EXPECT_EQ(rule_of(R"(,"detail":"high","max_slices":3)").max_slices, 3);
}

TEST(OpenAiRequest, OnlyAPlanTakesTheSizeOfAnImage) {
  const std::string size = R"({"type":"image_size","width":640,"height":480,"detail":"low","max_slices":2})";
  const std::string body = R"({"messages":[{"role":"user","content":[)" + size + "]}]}";
  const auto call = good(parse_call(Endpoint::plan, body, kModel, kLimits));
  const MessagePart part = call.requests[0].messages.at(0).parts.at(0);
  EXPECT_EQ(part.image, nullptr);
  ASSERT_TRUE(part.size);
  EXPECT_EQ(part.size->width, 640);
  EXPECT_EQ(part.size->height, 480);
  EXPECT_EQ(part.rule.detail, ImageDetail::low);
  EXPECT_EQ(part.rule.max_slices, 2);
  EXPECT_EQ(bad(chat(body)).param, "messages[0].content[0].type");
}

TEST(OpenAiRequest, TakesEveryFormOfPrompt) {
  EXPECT_EQ(good(completions(R"({"prompt":"x"})")).requests[0].prompt, "x");
  EXPECT_EQ(good(completions(R"({"prompt":"x"})")).requests[0].stop.max_tokens, 16);
  EXPECT_EQ(good(completions(R"({"prompt":["x","y"],"n":2})")).requests.size(), 2u);
  EXPECT_EQ(good(completions(R"({"prompt":["x","y"],"n":2})")).requests[1].prompt, "y");
  EXPECT_EQ(good(completions(R"({"prompt":[1,2.0,3]})")).requests[0].prompt_ids,
            (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(good(completions(R"({"prompt":[[1],[2,3]]})")).requests[1].prompt_ids,
            (std::vector<int32_t>{2, 3}));
}

TEST(OpenAiRequest, UnknownModelIs404) {
  const ApiError error = bad(chat(R"({"model":"gpt-4o","messages":[{"role":"user","content":"x"}]})"));
  EXPECT_EQ(error.status, 404);
  EXPECT_EQ(error.code, "model_not_found");
  EXPECT_EQ(error.param, "model");
}

TEST(OpenAiRequest, ImageForATextModelIsRefused) {
  ModelInfo text = kModel;
  text.vision = false;
  const std::string body =
      R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,"}}]}]})";
  EXPECT_EQ(bad(chat(body, text)).code, "image_not_supported");
}

struct BadCase {
  std::string name;
  std::string body;
  std::string param;
  Endpoint endpoint = Endpoint::chat;
  int status = 400;
};
void PrintTo(const BadCase& c, std::ostream* out) { *out << c.body.substr(0, 200); }

std::string user_part(const std::string& part) {
  return R"({"messages":[{"role":"user","content":[)" + part + "]}]}";
}

std::vector<BadCase> bad_cases() {
  std::vector<BadCase> cases{
      {"NotJson", "{", ""},
      {"Empty", "", ""},
      {"Nan", with(R"("temperature":NaN)"), ""},
      {"TwoValues", "{} {}", ""},
      {"TooDeep", std::string(1000, '[') + std::string(1000, ']'), ""},
      {"ArrayBody", "[]", ""},
      {"InvalidUtf8", "{\"model\":\"\xff\"}", ""},
      {"ModelNotText", with(R"("model":3)"), "model"},
      {"NoMessages", "{}", "messages"},
      {"MessagesEmpty", R"({"messages":[]})", "messages"},
      {"MessagesText", R"({"messages":"hi"})", "messages"},
      {"MessageNumber", R"({"messages":[3]})", "messages[0]"},
      {"TooManyMessages",
       R"({"messages":[{"role":"user","content":""},{"role":"user","content":""},{"role":"user","content":""},{"role":"user","content":""}]})",
       "messages"},
      {"NoRole", R"({"messages":[{"content":"x"}]})", "messages[0].role"},
      {"RoleNumber", R"({"messages":[{"role":1,"content":"x"}]})", "messages[0].role"},
      {"RoleUnknown", R"({"messages":[{"role":"root","content":"x"}]})", "messages[0].role"},
      {"RoleTool", R"({"messages":[{"role":"tool","content":"x"}]})", "messages[0].tool_call_id"},
      {"RoleToolUnknown", R"({"messages":[{"role":"tool","content":"x","tool_call_id":"c"}]})",
       "messages[0].tool_call_id"},
      {"NoContent", R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {"ContentNumber", R"({"messages":[{"role":"user","content":5}]})", "messages[0].content"},
      {"PartText", user_part(R"("x")"), "messages[0].content[0]"},
      {"PartNoType", user_part("{}"), "messages[0].content[0].type"},
      {"PartAudio", user_part(R"({"type":"input_audio"})"), "messages[0].content[0].type"},
      {"PartTextMissing", user_part(R"({"type":"text"})"), "messages[0].content[0].text"},
      {"PartTextNumber", user_part(R"({"type":"text","text":1})"), "messages[0].content[0].text"},
      {"ImageMissing", user_part(R"({"type":"image_url"})"), "messages[0].content[0].image_url"},
      {"ImageNumber", user_part(R"({"type":"image_url","image_url":1})"), "messages[0].content[0].image_url"},
      {"ImageUrlMissing", user_part(R"({"type":"image_url","image_url":{}})"),
       "messages[0].content[0].image_url.url"},
      {"ImageUrlNumber", user_part(R"({"type":"image_url","image_url":{"url":2}})"),
       "messages[0].content[0].image_url.url"},
      {"ImageHttp", user_part(R"({"type":"image_url","image_url":{"url":"http://127.0.0.1/a.png"}})"),
       "messages[0].content[0].image_url.url"},
      {"ImageTooLarge",
       user_part(R"({"type":"image_url","image_url":{"url":"data:image/png;base64,)" + std::string(400, 'A') +
                 R"("}})"),
       "messages[0].content[0].image_url.url", Endpoint::chat, 413},
      {"ImageOfAssistant",
       R"({"messages":[{"role":"assistant","content":[{"type":"image_url","image_url":{"url":"data:,"}}]}]})",
       "messages[0].content[0].image_url"},
      {"StopNumber", with(R"("stop":1)"), "stop"},
      {"StopEmpty", with(R"("stop":"")"), "stop"},
      {"StopInner", with(R"("stop":["a",1])"), "stop[1]"},
      {"StopMany", with(R"("stop":["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a"])"),
       "stop"},
      {"StopLong", with(R"("stop":")" + std::string(2000, 'x') + "\""), "stop"},
      {"StopIdLarge", with(R"("stop_token_ids":[1000])"), "stop_token_ids[0]"},
      {"TopLogprobsAlone", with(R"("top_logprobs":3)"), "top_logprobs"},
      {"LogprobsNumber", with(R"("logprobs":3)"), "logprobs"},
      {"BiasArray", with(R"("logit_bias":[])"), "logit_bias"},
      {"BiasKey", with(R"("logit_bias":{"x":1})"), "logit_bias.x"},
      {"BiasNegativeKey", with(R"("logit_bias":{"-1":1})"), "logit_bias.-1"},
      {"BiasLargeKey", with(R"("logit_bias":{"1000":1})"), "logit_bias.1000"},
      {"BiasValue", with(R"("logit_bias":{"1":101})"), "logit_bias.1"},
      {"StreamText", with(R"("stream":"yes")"), "stream"},
      {"ContinueAndNewTurn", with(R"("continue_final_message":true,"add_generation_prompt":true)"),
       "continue_final_message"},
      {"StreamOptionsAlone", with(R"("stream_options":{"include_usage":true})"), "stream_options"},
      {"ContinuousUsageAlone", with(R"("stream_options":{"continuous_usage_stats":true})"), "stream_options"},
      {"StreamOptionsText", with(R"("stream":true,"stream_options":"x")"), "stream_options"},
      {"IncludeUsageText", with(R"("stream":true,"stream_options":{"include_usage":1})"),
       "stream_options.include_usage"},
      {"MinAboveMax", with(R"("min_tokens":5,"max_tokens":4)"), "min_tokens"},
      {"UserNumber", with(R"("user":1)"), "user"},
      {"Tools", with(R"("tools":[{}])"), "tools[0].function"},
      {"Functions", with(R"("functions":[{}])"), "functions"},
      {"ResponseFormat", with(R"("response_format":{"type":"xml"})"), "response_format.type"},
      {"ResponseFormatText", with(R"("response_format":"json")"), "response_format"},
      {"PromptMissing", "{}", "prompt", Endpoint::completions},
      {"PromptNumber", R"({"prompt":1})", "prompt", Endpoint::completions},
      {"PromptEmptyList", R"({"prompt":[]})", "prompt", Endpoint::completions},
      {"PromptMixed", R"({"prompt":["a",1]})", "prompt[1]", Endpoint::completions},
      {"PromptNegativeId", R"({"prompt":[1,-1]})", "prompt[1]", Endpoint::completions},
      {"PromptLargeId", R"({"prompt":[1000]})", "prompt[0]", Endpoint::completions},
      {"PromptEmptyIds", R"({"prompt":[[1],[]]})", "prompt[1]", Endpoint::completions},
      {"PromptTooMany", R"({"prompt":["a","b","c"],"n":2})", "prompt", Endpoint::completions},
      {"PromptLogprobsStream", with(R"("prompt_logprobs":1,"stream":true)"), "prompt_logprobs"},
      {"PromptLogprobsMany", with(R"("prompt_logprobs":21)"), "prompt_logprobs"},
      {"PromptLogprobsAll", with(R"("prompt_logprobs":-1)"), "prompt_logprobs"},
      {"EchoMinTokens", R"({"prompt":"a","echo":true,"max_tokens":0,"min_tokens":1})", "min_tokens",
       Endpoint::completions},
      {"EchoTruncated", R"({"prompt":"a","echo":true,"truncate_prompt_tokens":1})", "truncate_prompt_tokens",
       Endpoint::completions},
      {"NoTokens", R"({"prompt":"a","max_tokens":0})", "max_tokens", Endpoint::completions},
      {"TruncatedToNothing", with(R"("truncate_prompt_tokens":0)"), "truncate_prompt_tokens"},
      {"RepeatLastN", with(R"("repeat_last_n":64,"presence_penalty":0.5)"), "repeat_last_n"},
      {"NoTokenAllowed", with(R"("allowed_token_ids":[])"), "allowed_token_ids"},
      {"AllowedBeyond", with(R"("allowed_token_ids":[5,1000])"), "allowed_token_ids[1]"},
      {"BadWordEmpty", with(R"("bad_words":["a",""])"), "bad_words[1]"},
      {"Suffix", R"({"prompt":"a","suffix":"b"})", "suffix", Endpoint::completions},
      {"BestOf", R"({"prompt":"a","best_of":2})", "best_of", Endpoint::completions},
      {"LegacyLogprobs", R"({"prompt":"a","logprobs":21})", "logprobs", Endpoint::completions},
  };
  const auto image_with = [](const std::string& fields) {
    return user_part(R"({"type":"image_url","image_url":{"url":")" + std::string(kPng) + "\"," + fields +
                     "}}");
  };
  const auto size_of = [](const std::string& width, const std::string& fields = "") {
    return user_part(R"({"type":"image_size","height":9,"width":)" + width + fields + "}");
  };
  const std::string part = "messages[0].content[0].";
  cases.insert(
      cases.end(),
      {{"DetailUnknown", image_with(R"("detail":"medium")"), part + "image_url.detail"},
       {"DetailEmpty", image_with(R"("detail":"")"), part + "image_url.detail"},
       {"DetailNumber", image_with(R"("detail":1)"), part + "image_url.detail"},
       {"SizeDetail", size_of("9", R"(,"detail":"LOW")"), part + "detail", Endpoint::plan},
       {"SizeSlices", size_of("9", R"(,"max_slices":0)"), part + "max_slices", Endpoint::plan},
       {"SizeNoHeight", user_part(R"({"type":"image_size","width":9})"), part + "height", Endpoint::plan},
       {"SizeNullWidth", size_of("null"), part + "width", Endpoint::plan},
       {"SizesTooMany",
        user_part(R"({"type":"image_size","width":9,"height":9},{"type":"image_size","width":9,"height":9},)"
                  R"({"type":"image_size","width":9,"height":9})"),
        "messages[0].content[2].type", Endpoint::plan},
       {"SizeOfAssistant",
        R"({"messages":[{"role":"assistant","content":[{"type":"image_size","width":9,"height":9}]}]})",
        part + "type", Endpoint::plan},
       {"PlanPrompt", R"({"prompt":"a"})", "prompt", Endpoint::plan}});
  const std::vector<std::string> no_count{
      "0", "-1", "1.5", "2147483648", "1e300", "99999999999999999999999", "\"9\"", "true", "[]", "{}"};
  for (size_t i = 0; i < no_count.size(); ++i) {
    cases.push_back({"SizeWidth_" + std::to_string(i), size_of(no_count[i]), part + "width", Endpoint::plan});
    cases.push_back({"MaxSlices_" + std::to_string(i), image_with("\"max_slices\":" + no_count[i]),
                     part + "image_url.max_slices"});
  }
  // A Number is a field with a number, and every way in which it can be wrong.
  struct Number {
    std::string name;
    std::vector<std::string> outside;
  };
  const std::vector<Number> numbers{
      {"temperature", {"-0.1", "2.1"}},
      {"top_p", {"1.1", "-1"}},
      {"min_p", {"-0.1", "1.1"}},
      {"repetition_penalty", {"0", "-1", "101", "0.005"}},
      {"presence_penalty", {"-2.1", "2.1"}},
      {"frequency_penalty", {"-2.1", "2.1"}},
      {"top_k", {"-2", "0.5", "2147483648"}},
      {"seed", {"0.5", "18446744073709551615"}},
      {"priority", {"0.5", "101", "-101", "\"high\""}},
      {"max_tokens", {"0", "-1", "1.5", "2147483648"}},
      {"max_completion_tokens", {"0", "-1", "1.5", "2147483648"}},
      {"min_tokens", {"-1", "1.5", "2147483648"}},
      {"n", {"0", "-1", "1.5", "5"}},
      {"top_logprobs", {"-1", "1.5", "21"}},
  };
  for (const Number& number : numbers) {
    std::vector<std::string> wrong = number.outside;
    wrong.insert(wrong.end(), {"1e300", "-1e300", "99999999999999999999999", "\"1\"", "true", "[]", "{}"});
    for (size_t i = 0; i < wrong.size(); ++i) {
      cases.push_back(
          {number.name + "_" + std::to_string(i), with("\"" + number.name + "\":" + wrong[i]), number.name});
    }
  }
  return cases;
}

class OpenAiBadRequest : public testing::TestWithParam<BadCase> {};

TEST_P(OpenAiBadRequest, IsRefusedNamingTheField) {
  const BadCase& c = GetParam();
  const ApiError error = bad(parse_call(c.endpoint, c.body, kModel, kLimits));
  EXPECT_EQ(error.status, c.status);
  EXPECT_EQ(error.param, c.param) << error.message;
  EXPECT_FALSE(error.code.empty());
  EXPECT_FALSE(error.message.empty());
}

INSTANTIATE_TEST_SUITE_P(Body, OpenAiBadRequest, testing::ValuesIn(bad_cases()),
                         [](const auto& c) { return c.param.name; });

TEST(OpenAiRequest, HugeExponentIsRefused) {
  EXPECT_EQ(bad(chat(with(R"("temperature":1e999999)"))).status, 400);
}

TEST(OpenAiRequest, TooManyImagesAreRefused) {
  const std::string image = R"({"type":"image_url","image_url":{"url":")" + std::string(kPng) + R"("}})";
  EXPECT_EQ(good(chat(user_part(image + "," + image))).requests.size(), 1u);
  EXPECT_EQ(bad(chat(user_part(image + "," + image + "," + image))).code, "too_many_images");
}

TEST(OpenAiRequest, DetokenizeChecksItsIds) {
  EXPECT_EQ(std::get<DetokenizeCall>(parse_detokenize(R"({"tokens":[1,2]})", kModel, kLimits)).ids.size(),
            2u);
  EXPECT_EQ(std::get<ApiError>(parse_detokenize(R"({"tokens":[1,2000]})", kModel, kLimits)).param,
            "tokens[1]");
  EXPECT_EQ(std::get<ApiError>(parse_detokenize("{}", kModel, kLimits)).param, "tokens");
  EXPECT_EQ(std::get<ApiError>(parse_tokenize(R"({"prompt":5})", kModel, kLimits)).param, "prompt");
}

TEST(OpenAiRequest, HistoryIsTakenAsClientsSendItBack) {
  for (
      const char* turn :
      {R"({"role":"assistant","content":"b","tool_calls":[]})",
       R"({"role":"assistant","content":"b","tool_calls":null,"function_call":null,"refusal":null,"audio":null})",
       R"({"role":"assistant","content":"b","annotations":[],"name":null,"reasoning_content":null})",
       R"({"role":"assistant","content":"b","reasoning_content":"hm","name":"x"})",
       R"({"role":"assistant","content":null})", R"({"role":"assistant"})",
       R"({"role":"assistant","content":[]})", R"({"role":"assistant","content":""})",
       R"({"role":"assistant","content":null,"refusal":"no"})",
       R"({"role":"assistant","content":[{"type":"refusal","refusal":"no"}]})"}) {
    const Call call = good(chat(std::string(R"({"messages":[{"role":"user","content":"a"},)") + turn +
                                R"(,{"role":"user","content":"c"}]})"));
    ASSERT_EQ(call.requests[0].messages.size(), 3u) << turn;
    EXPECT_EQ(call.requests[0].messages[1].role, "assistant") << turn;
  }
}

TEST(OpenAiRequest, NullIsAbsentInEveryField) {
  for (const char* name : {"model",
                           "temperature",
                           "top_p",
                           "top_k",
                           "min_p",
                           "repetition_penalty",
                           "presence_penalty",
                           "frequency_penalty",
                           "logit_bias",
                           "seed",
                           "stop",
                           "stop_token_ids",
                           "ignore_eos",
                           "priority",
                           "logprobs",
                           "top_logprobs",
                           "n",
                           "stream",
                           "stream_options",
                           "user",
                           "max_tokens",
                           "max_completion_tokens",
                           "min_tokens",
                           "tools",
                           "tool_choice",
                           "functions",
                           "function_call",
                           "response_format",
                           "audio",
                           "modalities",
                           "echo",
                           "suffix",
                           "best_of",
                           "add_generation_prompt",
                           "continue_final_message",
                           "parallel_tool_calls",
                           "service_tier",
                           "metadata",
                           "store",
                           "prediction",
                           "reasoning_effort"}) {
    good(chat(with(message("\"", name, "\":null"))));
    good(completions(message("{\"prompt\":\"x\",\"", name, "\":null}")));
  }
  good(chat(with(R"("stream":false,"stream_options":{"include_usage":false})")));
}

TEST(OpenAiRequest, TopPOfZeroIsTheMostLikelyToken) {
  const SamplingParams s = good(chat(with(R"("top_p":0)"))).requests[0].sampling;
  EXPECT_EQ(s.top_k, 1);
  EXPECT_EQ(s.top_p, 1);
}

TEST(OpenAiRequest, WhatCannotFitIsRefusedByItsSize) {
  ModelInfo model = kModel;
  model.max_text_bytes = 100;
  const std::string most(100, 'x');
  const auto asked = [&](const std::string& text, const std::string& more) {
    return R"({"messages":[{"role":"user","content":")" + text + R"("},{"role":"user","content":")" + more +
           R"("}]})";
  };
  good(chat(asked(most, ""), model));
  EXPECT_EQ(bad(chat(asked(most, "y"), model)).code, "context_length_exceeded");
  const auto prompt = [&](const std::string& value) {
    return parse_call(Endpoint::completions, message("{\"prompt\":", value, "}"), model, kLimits);
  };
  good(prompt(message("\"", most, "\"")));
  EXPECT_EQ(bad(prompt(message("\"", most, "y\""))).code, "context_length_exceeded");
  std::string ids = "[1";
  for (int i = 0; i < 2047; ++i) ids += ",1";
  EXPECT_EQ(bad(prompt(ids + "]")).code, "context_length_exceeded");
  EXPECT_EQ(bad(prompt("[\"a\",\"a\",\"a\",\"a\",\"a\"]")).code, "too_many_choices");
}

TEST(OpenAiRequest, LimitsOfTokenizeAreNamed) {
  const NetOptions limits{.max_tokenize_bytes = 3, .max_detokenize_ids = 2};
  EXPECT_TRUE(std::holds_alternative<TokenizeCall>(parse_tokenize(R"({"prompt":"abc"})", kModel, limits)));
  const ApiError text = std::get<ApiError>(parse_tokenize(R"({"prompt":"abcd"})", kModel, limits));
  EXPECT_EQ(text.status, 413);
  EXPECT_NE(text.message.find("net.max_tokenize_bytes"), std::string::npos);
  const ApiError ids = std::get<ApiError>(parse_detokenize(R"({"tokens":[1,2,3]})", kModel, limits));
  EXPECT_EQ(ids.status, 413);
  EXPECT_NE(ids.message.find("net.max_detokenize_ids"), std::string::npos);
}

TEST(OpenAiRequest, PartsAndValuesHaveLimits) {
  const NetOptions limits{.max_parts = 2, .max_json_values = 50};
  const std::string part = R"({"type":"text","text":""})";
  const auto asked = [&](const std::string& parts) {
    return parse_call(Endpoint::chat, user_part(parts), kModel, limits);
  };
  good(asked(part + "," + part));
  EXPECT_EQ(bad(asked(part + "," + part + "," + part)).code, "too_many_parts");
  std::string zeros = "0";
  for (int i = 0; i < 60; ++i) zeros += ",0";
  EXPECT_EQ(
      bad(parse_call(Endpoint::chat, with(message("\"stop_token_ids\":[", zeros, "]")), kModel, limits)).code,
      "too_many_values");
  good(parse_call(Endpoint::chat, with(R"("user":")" + std::string(100, ',') + R"([[[\"[[[")"), kModel,
                  limits));
}

TEST(OpenAiRequest, NamesStandOnceAndNumbersAreFinite) {
  const auto refused = [](const std::string& fields) { return bad(chat(with(fields))); };
  EXPECT_EQ(refused(R"("max_tokens":1,"max_tokens":5)").code, "invalid_json");
  EXPECT_NE(refused(R"("seed":1, "seed" : 5)").message.find("\"seed\""), std::string::npos);
  EXPECT_EQ(refused(R"("metadata":{"a":"1","a":"2"})").code, "invalid_json");
  EXPECT_EQ(refused(R"("seed":1,"s\u0065ed":5)").code, "invalid_json") << "a name may be written in two ways";
  EXPECT_EQ(refused(R"("metadata":{"a":1e999})").code, "invalid_json");
  good(chat(with(R"("metadata":{"a":"a","b":":\"a\":","c":"{\"c\":1,\"c\":2}"},"user":"metadata")")));
}

TEST(OpenAiRequest, ErrorsSayWhatIsWrongWithTheJson) {
  const auto text = [](const std::string& body) { return bad(chat(body)).message; };
  const auto holds = [&](const std::string& body, const std::string& words) {
    EXPECT_NE(text(body).find(words), std::string::npos) << body << ": " << text(body);
  };
  holds("", "empty");
  holds("\xFF\xFE{\x00", "UTF-16");
  holds("[]", "must be a JSON object");
  holds(R"({"a":1)", "too early");
  holds(R"({"a":1} x)", "at byte 8");
  holds(R"({"a":1} x)", "follows");
  holds(R"({"a":1,})", "at byte 7");
  holds("{\"a\":\"\xFF\"}", "UTF-8");
  holds(R"({"a":"\ud83dx"})", "surrogate");
  holds(R"({"a":"\ude00"})", "surrogate");
  holds(R"({"a":"\ud83d"})", "surrogate");
  holds(R"({"a":"\uzz"})", "hexadecimal");
  holds("{\"a\":\"\n\"}", "control character");
  holds("{\"a\":" + std::string(100, '['), "deep");
  holds(R"({"a":NaN})", "'NaN");
  good(chat("\xEF\xBB\xBF" + with(R"("n":1)")));
}

TEST(OpenAiRequest, QuotesOfClientsAreCutBetweenCharacters) {
  std::string name;
  for (int i = 0; i < 150; ++i) name += "\xC3\xA9";
  const ApiError error = bad(chat(R"({"model":"x)" + name + R"(","messages":[]})"));
  EXPECT_NE(error.message.find("\xC3\xA9...'"), std::string::npos) << error.message;
  const ApiError bias = bad(chat(with(R"("logit_bias":{")" + name + R"(":1})")));
  EXPECT_TRUE(bias.param.ends_with("\xC3\xA9...")) << bias.param;
}

}  // namespace
}  // namespace uhd
