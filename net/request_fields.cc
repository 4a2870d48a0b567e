#include "net/request_fields.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/edit_distance.h"
#include "base/error.h"

namespace uhd {
namespace {

constexpr uint32_t kChats = kChatFields | kPlanFields;
constexpr uint32_t kCalls = kChats | kCompletionsFields;
constexpr FieldUse kHonoured = FieldUse::honoured;
constexpr FieldUse kAccepted = FieldUse::accepted;
constexpr FieldUse kRefused = FieldUse::refused;

// A picture of one pixel.
constexpr std::string_view kPictureExample =
    "\"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg==\"";

constexpr RequestField kFields[] = {
    {"add_generation_prompt", kChats | kTokenizeFields, kHonoured, "boolean", "false", "",
     "begins a new turn of the assistant; default true"},
    {"add_special_tokens", kTokenizeFields, kHonoured, "boolean", "false", "",
     "puts the tokens before a `prompt` that the model wants there; default true"},
    {"allowed_token_ids", kCalls, kHonoured, "array", "[5,6]", "",
     "the answer is made of these tokens alone"},
    {"arguments", kCalledFields, kHonoured, "string", R"("{}")", "",
     "what the function was called with, as JSON"},
    {"arguments", kInputItemFields, kHonoured, "string", R"("{}")", "",
     "of a function_call: what it was called with"},
    {"bad_words", kCalls, kHonoured, "array", R"(["no"])", "",
     "texts whose tokens never complete in the answer"},
    {"best_of", kCalls, kHonoured, "integer", "1", "", "must be `n`: answers are not compared"},
    {"call_id", kInputItemFields, kHonoured, "string", R"("c")", "", "the call that is made, or answered"},
    {"chat_template_kwargs", kChats | kResponsesFields | kTokenizeFields, kHonoured, "object",
     R"({"enable_thinking":false})", "", "variables for the model's chat template"},
    {"choice", kStructuredFields, kHonoured, "array", R"(["a"])", "", "the answer is one of these texts"},
    {"content", kMessageFields, kHonoured, "string|array", R"("hi")", "", "one text, or a list of parts"},
    {"content", kInputItemFields, kHonoured, "string|array", R"("hi")", "", "one text, or a list of parts"},
    {"continue_final_message", kChats | kTokenizeFields, kHonoured, "boolean", "false", "",
     "the answer goes on where the last message ends"},
    {"continuous_usage_stats", kStreamOptionsFields, kHonoured, "boolean", "true", "",
     "every chunk holds the usage so far"},
    {"description", kFunctionFields, kHonoured, "string", R"("d")", "", "what the function does"},
    {"description", kFlatToolFields, kHonoured, "string", R"("d")", "", "what the function does"},
    {"detail", kImageUrlFields | kSizePartFields, kHonoured, "string", R"("low")", "",
     "how closely an image is looked at: low, high or auto"},
    {"detail", kInputPartFields, kHonoured, "string", R"("low")", "", "how closely an image is looked at"},
    {"ebnf", kCalls, kHonoured, "string", R"("root ::= \"a\"")", "", "the same as `grammar`"},
    {"echo", kCompletionsFields, kHonoured, "boolean", "true", "",
     "the answer begins with the prompt; with `max_tokens` 0 it is the prompt alone"},
    {"format", kTextFields, kHonoured, "object", R"({"type":"text"})", "", "what the answer's text is"},
    {"frequency_penalty", kCalls | kResponsesFields, kHonoured, "number", "0.5", "",
     "lowers a token by how often the answer holds it"},
    {"function", kToolFields | kToolCallFields, kHonoured, "object", R"({"name":"f"})", "",
     "the function, or its name and arguments"},
    {"grammar", kCalls | kStructuredFields, kHonoured, "string", R"("root ::= \"a\"")", "",
     "the answer is a text of this grammar, in EBNF as llama.cpp has it"},
    {"guided_choice", kCalls, kHonoured, "array", R"(["a"])", "", "the same as `structured_outputs.choice`"},
    {"guided_grammar", kCalls, kHonoured, "string", R"("root ::= \"a\"")", "", "the same as `grammar`"},
    {"guided_json", kCalls, kHonoured, "string|object", "{}", "", "the same as `json_schema`"},
    {"guided_regex", kCalls, kHonoured, "string", R"("a")", "", "the same as `regex`"},
    {"height", kSizePartFields, kHonoured, "integer", "480", "", "pixels of an image that is not sent"},
    {"id", kToolCallFields, kHonoured, "string", R"("c")", "", "names the call"},
    {"ignore_eos", kCalls | kResponsesFields, kHonoured, "boolean", "true", "",
     "the model's end tokens do not end the answer"},
    {"image_url", kImagePartFields, kHonoured, "string|object", kPictureExample, "",
     "the image: a data URL, or a URL that the settings allow"},
    {"image_url", kInputPartFields, kHonoured, "string", kPictureExample, "",
     "the image: a data URL, or a URL that the settings allow"},
    {"include_stop_str_in_output", kCalls, kHonoured, "boolean", "true", "",
     "the answer keeps the stop string or token that ended it"},
    {"include_usage", kStreamOptionsFields, kHonoured, "boolean", "true", "",
     "the last chunk holds the usage"},
    {"input", kResponsesFields, kHonoured, "string|array", R"("hi")", "",
     "the conversation: a text, or items"},
    {"instructions", kResponsesFields, kHonoured, "string", R"("be brief")", "",
     "goes before the input, as system"},
    {"json", kStructuredFields, kHonoured, "string|object", "{}", "", "the same as `json_schema`"},
    {"json_object", kStructuredFields, kHonoured, "boolean", "true", "", "the answer is a JSON object"},
    {"json_schema", kCalls, kHonoured, "string|object", "{}", "", "the answer is JSON of this schema"},
    {"json_schema", kResponseFormatFields, kHonoured, "object", R"({"name":"x","schema":{}})", "",
     "holds the schema for the type json_schema"},
    {"logit_bias", kCalls, kHonoured, "object", R"({"5":1})", "", "is added to the scores of tokens"},
    {"logprobs", kChats, kHonoured, "boolean", "true", "", "log-probabilities of the answer's tokens"},
    {"logprobs", kCompletionsFields, kHonoured, "integer", "1", "",
     "log-probabilities of the answer's tokens, and of so many likely ones"},
    {"max_completion_tokens", kCalls, kHonoured, "integer", "5", "",
     "the same as `max_tokens`, and goes before it"},
    {"max_output_tokens", kResponsesFields, kHonoured, "integer", "5", "", "the most tokens of the answer"},
    {"max_slices", kImageUrlFields | kSizePartFields, kHonoured, "integer", "2", "",
     "the most slices that an image may become"},
    {"max_slices", kInputPartFields, kHonoured, "integer", "2", "",
     "the most slices that an image may become"},
    {"max_tokens", kCalls, kHonoured, "integer", "5", "", "the most tokens of the answer"},
    {"messages", kChats | kTokenizeFields, kHonoured, "array", R"([{"role":"user","content":"hi"}])", "",
     "the conversation"},
    {"min_p", kCalls | kResponsesFields, kHonoured, "number", "0.1", "",
     "leaves out tokens below this share of the likeliest one's probability"},
    {"min_tokens", kCalls | kResponsesFields, kHonoured, "integer", "1", "",
     "the answer does not end before so many tokens"},
    {"model", kCalls | kResponsesFields | kTokenizeFields | kDetokenizeFields, kHonoured, "string",
     R"("fake")", "", "one of the names that `/v1/models` lists; may be left out"},
    {"n", kCalls, kHonoured, "integer", "2", "", "how many answers"},
    {"name", kFunctionFields | kCalledFields | kChosenFields, kHonoured, "string", R"("f")", "",
     "the function's name"},
    {"name", kInputItemFields | kFlatToolFields, kHonoured, "string", R"("f")", "", "the function's name"},
    {"name", kMessageFields, kHonoured, "string", R"("Ann")", "",
     "the speaker's name, for a model whose chat template reads it"},
    {"output", kInputItemFields, kHonoured, "string|array", R"("hi")", "",
     "of a function_call_output: its result"},
    {"parallel_tool_calls", kChats | kResponsesFields, kHonoured, "boolean", "true", "",
     "whether an answer may hold several calls; default true"},
    {"parameters", kFunctionFields, kHonoured, "object", "{}", "", "the JSON schema of the arguments"},
    {"parameters", kFlatToolFields, kHonoured, "object", "{}", "", "the JSON schema of the arguments"},
    {"presence_penalty", kCalls | kResponsesFields, kHonoured, "number", "0.5", "",
     "lowers a token that the answer holds"},
    {"priority", kCalls | kResponsesFields, kHonoured, "integer", "1", "", "the lower goes first"},
    {"prompt", kCompletionsFields | kTokenizeFields, kHonoured, "string|array", R"("hi")", "",
     "a text; for completions also token ids, or a list of either"},
    {"prompt_logprobs", kCalls, kHonoured, "integer", "1", "",
     "log-probabilities of the prompt's tokens, and of so many likely ones; not in a stream"},
    {"reasoning", kMessageFields, kHonoured, "string", R"("so")", "", "the same as `reasoning_content`"},
    {"reasoning_content", kMessageFields, kHonoured, "string", R"("so")", "",
     "thoughts of an earlier answer, for a model whose chat template reads them"},
    {"refusal", kMessageFields | kTextPartFields, kHonoured, "string", R"("no")", "",
     "the text of an assistant that refused"},
    {"refusal", kInputPartFields, kHonoured, "string", R"("no")", "",
     "the text of an assistant that refused"},
    {"regex", kCalls | kStructuredFields, kHonoured, "string", R"("a")", "",
     "the answer matches this regular expression from its begin to its end"},
    {"repetition_penalty", kCalls | kResponsesFields, kHonoured, "number", "1.1", "",
     "divides the scores of tokens that prompt or answer hold"},
    {"response_format", kCalls, kHonoured, "object", R"({"type":"text"})", "",
     "what the answer's text is: text, json_object or json_schema"},
    {"return_token_strs", kTokenizeFields, kHonoured, "boolean", "true", "",
     "the answer holds the text of each token too"},
    {"role", kMessageFields, kHonoured, "string", R"("user")", "",
     "system, developer, user, assistant or tool"},
    {"role", kInputItemFields, kHonoured, "string", R"("user")", "", "system, developer, user or assistant"},
    {"schema", kResponseFormatFields | kJsonSchemaFields, kHonoured, "object", "{}", "",
     "the answer is JSON of this schema"},
    {"schema", kTextFormatFields, kHonoured, "object", "{}", "", "the answer is JSON of this schema"},
    {"seed", kCalls | kResponsesFields, kHonoured, "integer", "1", "", "repeats the same draws"},
    {"skip_special_tokens", kCalls, kHonoured, "boolean", "false", "",
     "leaves special tokens out of the answer's text; default true"},
    {"stop", kCalls | kResponsesFields, kHonoured, "string|array", R"(["x"])", "",
     "texts that end the answer"},
    {"stop_token_ids", kCalls, kHonoured, "array", "[5]", "", "tokens that end the answer"},
    {"stream", kCalls | kResponsesFields, kHonoured, "boolean", "false", "", "sends the answer as it comes"},
    {"stream_options", kCalls, kHonoured, "object", "{}", "", "what a stream tells besides"},
    {"strict", kFunctionFields, kHonoured, "boolean", "false", "",
     "the arguments of its calls follow their schema"},
    {"strict", kFlatToolFields, kHonoured, "boolean", "false", "",
     "the arguments of its calls follow their schema"},
    {"structural_tag", kCalls | kStructuredFields, kHonoured, "string|object",
     R"({"type":"structural_tag","format":{"type":"const_string","value":"a"}})", "",
     "the answer has the parts that XGrammar's structural tag says"},
    {"structured_outputs", kCalls, kHonoured, "object", R"({"json":{}})", "",
     "what the answer's text is, in vLLM's form"},
    {"temperature", kCalls | kResponsesFields, kHonoured, "number", "0.5", "", "0 is greedy"},
    {"text", kTextPartFields, kHonoured, "string", R"("hi")", "", "the part's text"},
    {"text", kInputPartFields, kHonoured, "string", R"("hi")", "", "the part's text"},
    {"text", kResponsesFields, kHonoured, "object", R"({"format":{"type":"text"}})", "",
     "holds the answer's format"},
    {"tokens", kDetokenizeFields, kHonoured, "array", "[5]", "", "ids to turn into a text"},
    {"timeline", kChats, kHonoured, "boolean", "true", "", "tells what happens to the request, and when"},
    {"timeout", kCalls | kResponsesFields, kHonoured, "number", "30", "",
     "seconds after which the answer is given up, if the server's limit is not less"},
    {"tool_call_id", kMessageFields, kHonoured, "string", R"("c")", "", "the call that a tool answers"},
    {"tool_calls", kMessageFields, kHonoured, "array",
     R"([{"type":"function","function":{"name":"f","arguments":"{}"}}])", "",
     "the calls of an earlier answer"},
    {"tool_choice", kChats, kHonoured, "string|object", R"("auto")", "",
     "whether the answer calls: none, auto, required, or one function"},
    {"tool_choice", kResponsesFields, kHonoured, "string|object", R"("auto")", "",
     "whether the answer calls: none, auto, required, or one function"},
    {"tools", kChats | kTokenizeFields, kHonoured, "array",
     R"([{"type":"function","function":{"name":"f"}}])", "",
     "functions that the answer may call, where the model's template knows tools"},
    {"tools", kResponsesFields, kHonoured, "array", R"([{"type":"function","name":"f"}])", "",
     "functions that the answer may call, where the model's template knows tools"},
    {"top_k", kCalls | kResponsesFields, kHonoured, "integer", "5", "",
     "draws among so many likely tokens; 0 or -1: among all"},
    {"top_logprobs", kChats, kHonoured, "integer", "0", "",
     "log-probabilities of so many likely tokens; needs `logprobs`"},
    {"top_p", kCalls | kResponsesFields, kHonoured, "number", "0.5", "",
     "draws among the likeliest tokens of this probability"},
    {"truncate_prompt_tokens", kCalls, kHonoured, "integer", "5", "",
     "keeps the last tokens of a prompt without images; -1: what the context holds"},
    {"type", kResponseFormatFields | kTextPartFields | kImagePartFields | kSizePartFields, kHonoured,
     "string", R"("text")", "", "which kind of format or part it is"},
    {"type", kToolFields | kToolCallFields, kHonoured, "string", R"("function")", "", "function"},
    {"type", kInputItemFields, kHonoured, "string", R"("message")", "",
     "message, function_call, function_call_output or reasoning"},
    {"type", kInputPartFields, kHonoured, "string", R"("input_text")", "",
     "input_text, input_image, output_text or refusal"},
    {"type", kTextFormatFields, kHonoured, "string", R"("json_schema")", "",
     "text, json_object or json_schema"},
    {"type", kFlatToolFields, kHonoured, "string", R"("function")", "", "function"},
    {"url", kImageUrlFields, kHonoured, "string", kPictureExample, "",
     "the image: a data URL, or a URL that the settings allow"},
    {"width", kSizePartFields, kHonoured, "integer", "640", "", "pixels of an image that is not sent"},
    {"annotations", kMessageFields, kAccepted, "array", "[]", "", "what an earlier answer came with"},
    {"annotations", kInputPartFields, kAccepted, "array", "[]", "", "what an earlier answer came with"},
    {"backend_sampling", kCalls, kAccepted, "boolean", "true", "", "where tokens are drawn"},
    {"cache_control", kTextPartFields | kImagePartFields | kMessageFields, kAccepted, "object",
     R"({"type":"ephemeral"})", "", "caches are kept in any case"},
    {"cache_prompt", kCalls, kAccepted, "boolean", "true", "", "caches are kept in any case"},
    {"content_hash", kImageUrlFields, kAccepted, "string", R"("h")", "",
     "images are named by their pixels here"},
    {"custom_labels", kCalls, kAccepted, "object", R"({"a":"b"})", "", "labels of the client's metrics"},
    {"data_parallel_rank", kCalls, kAccepted, "integer", "0", "", "there is one group of ranks"},
    {"description", kJsonSchemaFields, kAccepted, "string", R"("d")", "",
     "a schema's name tells the model nothing"},
    {"description", kTextFormatFields, kAccepted, "string", R"("d")", "",
     "a schema's name tells the model nothing"},
    {"disable_additional_properties", kStructuredFields, kAccepted, "boolean", "true", "",
     "an object has the properties of its schema alone in any case"},
    {"disable_fallback", kStructuredFields, kAccepted, "boolean", "true", "",
     "there is one compiler of grammars"},
    {"disagg_prefill_dp_rank", kCalls, kAccepted, "integer", "0", "", "there is one group of ranks"},
    {"dry_allowed_length", kCalls, kAccepted, "integer", "2", "", "without `dry_multiplier` it does nothing"},
    {"dry_base", kCalls, kAccepted, "number", "1.75", "", "without `dry_multiplier` it does nothing"},
    {"dry_penalty_last_n", kCalls, kAccepted, "integer", "-1", "",
     "without `dry_multiplier` it does nothing"},
    {"dry_sequence_breakers", kCalls, kAccepted, "array", R"(["x"])", "",
     "without `dry_multiplier` it does nothing"},
    {"dynatemp_exponent", kCalls, kAccepted, "number", "1", "", "without `dynatemp_range` it does nothing"},
    {"early_stopping", kCalls, kAccepted, "boolean|string", "true", "",
     "without `use_beam_search` it does nothing"},
    {"format", kImageUrlFields, kAccepted, "string", R"("image/png")", "",
     "the first bytes say what the image is"},
    {"guided_decoding_backend", kCalls, kAccepted, "string", R"("xgrammar")", "",
     "there is one compiler of grammars"},
    {"id", kInputItemFields, kAccepted, "string", R"("x")", "", "what an earlier answer came with"},
    {"id_slot", kCalls, kAccepted, "integer", "0", "", "there are no slots"},
    {"include_obfuscation", kStreamOptionsFields, kAccepted, "boolean", "true", "", "padding of chunks"},
    {"index", kToolCallFields, kAccepted, "integer", "0", "", "calls stand in their order"},
    {"keep_alive", kCalls, kAccepted, "string|number", R"("5m")", "", "the model stays loaded"},
    {"length_penalty", kCalls, kAccepted, "number", "1.0", "", "without `use_beam_search` it does nothing"},
    {"logprobs", kInputPartFields, kAccepted, "array", "[]", "", "what an earlier answer came with"},
    {"metadata", kCalls | kResponsesFields, kAccepted, "object", R"({"a":"b"})", "",
     "the client's own notes"},
    {"mirostat_eta", kCalls, kAccepted, "number", "0.1", "", "without `mirostat` it does nothing"},
    {"mirostat_tau", kCalls, kAccepted, "number", "5", "", "without `mirostat` it does nothing"},
    {"n_discard", kCalls, kAccepted, "integer", "0", "", "a context is never shifted"},
    {"n_keep", kCalls, kAccepted, "integer", "0", "", "a context is never shifted"},
    {"name", kJsonSchemaFields, kAccepted, "string", R"("n")", "", "a schema's name tells the model nothing"},
    {"name", kTextFormatFields, kAccepted, "string", R"("n")", "", "a schema's name tells the model nothing"},
    {"ngram_corpus_id", kCalls, kAccepted, "string|array", R"("c")", "", "a hint for speed"},
    {"parallel_tool_calls", kCompletionsFields, kAccepted, "boolean", "true", "",
     "without tools it does nothing"},
    {"prompt_cache_key", kCalls | kResponsesFields, kAccepted, "string", R"("k")", "",
     "caches are kept in any case"},
    {"prompt_cache_options", kCalls | kResponsesFields, kAccepted, "object", "{}", "",
     "caches are kept in any case"},
    {"prompt_cache_retention", kCalls | kResponsesFields, kAccepted, "string", R"("24h")", "",
     "caches are kept in any case"},
    {"repeat_last_n", kCalls, kAccepted, "integer", "64", "",
     "without penalties it does nothing, and beside them it is refused"},
    {"request_id", kCalls, kAccepted, "string", R"("r")", "", "the header X-Request-Id names a request"},
    {"rid", kCalls, kAccepted, "string|array", R"("r")", "", "the header X-Request-Id names a request"},
    {"routed_dp_rank", kCalls, kAccepted, "integer", "0", "", "there is one group of ranks"},
    {"routed_experts_start_len", kCalls, kAccepted, "integer", "0", "",
     "without `return_routed_experts` it does nothing"},
    {"safety_identifier", kCalls | kResponsesFields, kAccepted, "string", R"("s")", "",
     "who the client's user is"},
    {"background", kResponsesFields, kRefused, "boolean", "true", "[false]",
     "nothing runs in the background"},
    {"context_management", kResponsesFields, kRefused, "array", R"([{"type":"compaction"}])", "[[]]",
     "a conversation is not shortened"},
    {"conversation", kResponsesFields, kRefused, "string|object", R"("x")", "",
     "nothing is kept: send the whole input"},
    {"disable_any_whitespace", kStructuredFields, kRefused, "boolean", "true", "[false]",
     "white space between JSON's tokens is the model's"},
    {"file_id", kInputPartFields, kRefused, "string", R"("x")", "",
     "nothing is kept: send the image as a data URL"},
    {"format", kCalls, kRefused, "string|object", R"("json")", "",
     "the field is called 'response_format' here"},
    {"function_call", kCalls, kRefused, "string|object", R"({"name":"f"})", R"(["none","auto"])",
     "the field is called 'tool_choice' here"},
    {"function_call", kMessageFields, kRefused, "object", R"({"name":"f","arguments":"{}"})", "",
     "the field is called 'tool_calls' here"},
    {"functions", kCalls, kRefused, "array", R"([{"name":"f"}])", "[[]]", "the field is called 'tools' here"},
    {"grammar_lazy", kCalls, kRefused, "boolean", "true", "[false]",
     "a grammar holds from the first token on"},
    {"guided_whitespace_pattern", kCalls, kRefused, "string", R"("a")", "",
     "white space between JSON's tokens is the model's"},
    {"include", kResponsesFields, kRefused, "array", R"(["message.output_text.logprobs"])", "[[]]",
     "answers hold what they hold"},
    {"max_tool_calls", kResponsesFields, kRefused, "integer", "1", "", "'parallel_tool_calls' bounds calls"},
    {"parse_tool_calls", kCalls, kRefused, "boolean", "false", "[true]",
     "calls are always told apart from the text"},
    {"previous_response_id", kResponsesFields, kRefused, "string", R"("resp_x")", "",
     "nothing is kept: send the whole input"},
    {"prompt", kResponsesFields, kRefused, "object", R"({"id":"x"})", "",
     "nothing is kept: send the whole input"},
    {"reasoning", kResponsesFields, kRefused, "object", R"({"effort":"low"})", "[{}]",
     "use 'chat_template_kwargs', with what the model's template knows"},
    {"separate_reasoning", kCalls, kRefused, "boolean", "false", "[true]",
     "a chat tells thoughts apart from the answer"},
    {"service_tier", kCalls | kResponsesFields, kAccepted, "string", R"("auto")", "", "there is one tier"},
    {"session_id", kCalls, kAccepted, "string", R"("s")", "", "the client's own notes"},
    {"spaces_between_special_tokens", kCalls, kAccepted, "boolean", "true", "",
     "no spaces are put between tokens"},
    {"speculative.n_max", kCalls, kAccepted, "integer", "4", "", "a hint for speed"},
    {"speculative.n_min", kCalls, kAccepted, "integer", "0", "", "a hint for speed"},
    {"speculative.p_min", kCalls, kAccepted, "number", "0.5", "", "a hint for speed"},
    {"status", kInputItemFields, kAccepted, "string", R"("completed")", "",
     "what an earlier answer came with"},
    {"store", kCalls, kAccepted, "boolean", "true", "", "nothing is kept"},
    {"store", kResponsesFields, kRefused, "boolean", "true", "[false]",
     "nothing is kept: send the whole input"},
    {"stream_reasoning", kCalls, kRefused, "boolean", "false", "[true]",
     "a chat tells thoughts apart from the answer"},
    {"stream_options", kResponsesFields, kAccepted, "object", R"({"include_obfuscation":false})", "",
     "padding of chunks"},
    {"strict", kJsonSchemaFields, kAccepted, "boolean", "true", "", "a schema always holds"},
    {"strict", kTextFormatFields, kAccepted, "boolean", "true", "", "a schema always holds"},
    {"user", kCalls | kResponsesFields, kAccepted, "string", R"("u")", "", "who the client's user is"},
    {"uuid", kImagePartFields, kAccepted, "string", R"("x")", "", "images are named by their pixels here"},
    {"xtc_threshold", kCalls, kAccepted, "number", "0.1", "", "without `xtc_probability` it does nothing"},
    {"add_special", kTokenizeFields, kRefused, "boolean", "true", "",
     "the field is called 'add_special_tokens' here"},
    {"add_special_tokens", kChats, kRefused, "boolean", "true", "[false]",
     "the chat template and the tokenizer decide"},
    {"add_special_tokens", kCompletionsFields, kRefused, "boolean", "false", "[true]",
     "send token ids to decide it"},
    {"audio", kCalls | kMessageFields, kRefused, "object", R"({"voice":"a","format":"wav"})", "",
     "audio is not supported"},
    {"bootstrap_host", kCalls, kRefused, "string|array", R"("h")", "",
     "prefill and decode run on the same ranks"},
    {"bootstrap_port", kCalls, kRefused, "integer|array", "1", "",
     "prefill and decode run on the same ranks"},
    {"bootstrap_room", kCalls, kRefused, "integer|array", "1", "",
     "prefill and decode run on the same ranks"},
    {"cache_salt", kCalls, kRefused, "string|array", R"("s")", R"([""])", "caches are kept apart by API key"},
    {"chat_template", kCalls | kTokenizeFields, kRefused, "string", R"("x")", R"([""])",
     "the model's own template is used"},
    {"content", kTokenizeFields, kRefused, "string", R"("hi")", "", "the text is called 'prompt' here"},
    {"continue_final_message", kCompletionsFields, kRefused, "boolean", "true", "[false]",
     "a prompt has no messages, and is continued as it is"},
    {"custom_logit_processor", kCalls, kRefused, "string|array", R"("x")", "", "code of clients is not run"},
    {"custom_params", kCalls, kRefused, "object", R"({"a":1})", "[{}]", "code of clients is not run"},
    {"documents", kCalls, kRefused, "array", R"([{"text":"a"}])", "[[]]", "put documents into the messages"},
    {"dry_multiplier", kCalls, kRefused, "number", "0.5", "[0]", "this penalty is not implemented"},
    {"dynatemp_range", kCalls, kRefused, "number", "0.5", "[0]", "a changing temperature is not implemented"},
    {"ec_transfer_params", kCalls, kRefused, "object", R"({"a":1})", "[{}]", "encoders are the server's own"},
    {"echo", kChats, kRefused, "boolean", "true", "[false]",
     "a conversation has no text of its own to begin with"},
    {"extra_body", kCalls, kRefused, "object", R"({"top_k":1})", "[{}]",
     "put its fields into the request itself"},
    {"extra_key", kCalls, kRefused, "string|array", R"("k")", R"([""])", "caches are kept apart by API key"},
    {"image_data", kCalls, kRefused, "array", R"([{"data":"x","id":1}])", "[[]]",
     "send images as parts of a message"},
    {"images_config", kCalls, kRefused, "object", R"({"a":1})", "[{}]",
     "'max_slices' and 'detail' of an image say how it is cut"},
    {"include_reasoning", kCalls, kRefused, "boolean", "false", "[true]",
     "a chat tells thoughts apart from the answer"},
    {"input_ids", kCalls, kRefused, "array", "[1]", "[[]]", "send token ids as 'prompt' to /v1/completions"},
    {"kv_transfer_params", kCalls, kRefused, "object", R"({"a":1})", "[{}]",
     "prefill and decode run on the same ranks"},
    {"logprob_token_ids", kCalls, kRefused, "array", "[5]", "[[]]", "'top_logprobs' gives the likely tokens"},
    {"lora", kCalls, kRefused, "array", R"([{"id":0,"scale":1}])", "[[]]", "LoRA is not implemented"},
    {"lora_path", kCalls, kRefused, "string|array", R"("x")", "", "LoRA is not implemented"},
    {"max_dynamic_patch", kCalls | kImageUrlFields, kRefused, "integer", "4", "",
     "the field is called 'max_slices' here, within 'image_url'"},
    {"media_io_kwargs", kCalls, kRefused, "object", R"({"image":{}})", "[{}]",
     "the server's settings say how images are read"},
    {"min_dynamic_patch", kCalls | kImageUrlFields, kRefused, "integer", "1", "",
     "an image is cut as its size asks"},
    {"min_keep", kCalls, kRefused, "integer", "2", "[0]", "this sampler is not implemented"},
    {"mirostat", kCalls, kRefused, "integer", "1", "[0]", "this sampler is not implemented"},
    {"mm_processor_kwargs", kCalls | kTokenizeFields, kRefused, "object", R"({"max_slices":1})", "[{}]",
     "'max_slices' and 'detail' of an image say how it is cut"},
    {"modalities", kCalls, kRefused, "array", R"(["text","audio"])", R"([["text"],[]])",
     "the answer is text"},
    {"modalities", kImagePartFields, kRefused, "string", R"("video")", R"(["image","multi-images"])",
     "video is not supported"},
    {"moderation", kCalls, kRefused, "object", R"({"model":"m"})", "", "moderation is not implemented"},
    {"n_cmpl", kCalls, kRefused, "integer", "2", "[1]", "the field is called 'n' here"},
    {"n_indent", kCalls, kRefused, "integer", "2", "[0]", "indentation is not enforced"},
    {"n_predict", kCalls, kRefused, "integer", "2", "[-1]", "the field is called 'max_tokens' here"},
    {"n_probs", kCalls, kRefused, "integer", "2", "[0]", "the field is called 'logprobs' here"},
    {"no_stop_trim", kCalls, kRefused, "boolean", "true", "[false]",
     "the field is called 'include_stop_str_in_output' here"},
    {"options", kCalls, kRefused, "object", R"({"a":1})", "[{}]", "put its fields into the request itself"},
    {"parse_special", kTokenizeFields, kRefused, "boolean", "false", "[true]",
     "special tokens in a 'prompt' are read"},
    {"post_sampling_probs", kCalls, kRefused, "boolean", "true", "[false]",
     "log-probabilities are those of the model"},
    {"prediction", kCalls, kRefused, "object", R"({"type":"content","content":"x"})", "",
     "predicted outputs are not implemented"},
    {"prefix", kMessageFields, kRefused, "boolean", "true", "[false]",
     "'continue_final_message' continues the last message"},
    {"prompt_embeds", kCompletionsFields, kRefused, "string|array", R"("x")", "",
     "embeddings of clients are not taken"},
    {"reasoning", kCalls, kRefused, "object", R"({"effort":"low"})", "[{}]",
     "use 'chat_template_kwargs', with what the model's template knows"},
    {"reasoning_budget", kCalls, kRefused, "integer", "5", "[-1]", "thoughts have no bound of their own"},
    {"reasoning_effort", kCalls, kRefused, "string|number", R"("low")", "",
     "use 'chat_template_kwargs', with what the model's template knows"},
    {"reasoning_format", kCalls, kRefused, "string", R"("none")", R"(["deepseek","auto"])",
     "a chat tells thoughts apart from the answer"},
    {"repeat_penalty", kCalls, kRefused, "number", "1.1", "[1]",
     "the field is called 'repetition_penalty' here"},
    {"repetition_detection", kCalls, kRefused, "object", R"({"a":1})", "[{}]",
     "repetition does not end an answer"},
    {"response_fields", kCalls, kRefused, "array", R"(["text"])", "[[]]", "answers are given whole"},
    {"return_cached_tokens_details", kCalls, kRefused, "boolean", "true", "[false]",
     "the usage tells cached tokens"},
    {"return_hidden_states", kCalls, kRefused, "boolean|string", "true", "[false]",
     "hidden states are not given out"},
    {"return_meta_info", kCalls, kRefused, "boolean", "true", "[false]", "the answer's 'uhd' tells times"},
    {"return_metrics", kCalls, kRefused, "boolean", "true", "[false]", "the answer's 'uhd' tells times"},
    {"return_progress", kCalls, kRefused, "boolean", "true", "[false]", "progress of the prompt is not told"},
    {"return_prompt_text", kCalls, kRefused, "boolean", "true", "[false]", "the prompt is not given out"},
    {"return_prompt_token_ids", kCalls, kRefused, "boolean", "true", "[false]",
     "/tokenize gives the ids of a prompt"},
    {"return_routed_experts", kCalls, kRefused, "boolean", "true", "[false]", "the models have no experts"},
    {"return_token_ids", kCalls, kRefused, "boolean", "true", "[false]", "the answer is text"},
    {"return_tokens", kCalls, kRefused, "boolean", "true", "[false]", "the answer is text"},
    {"return_tokens_as_token_ids", kCalls, kRefused, "boolean", "true", "[false]",
     "log-probabilities tell bytes"},
    {"samplers", kCalls, kRefused, "array", R"(["top_k"])", "", "samplers have one order"},
    {"session_params", kCalls, kRefused, "object", R"({"id":"x"})", "[{}]", "there are no sessions"},
    {"stop_regex", kCalls, kRefused, "string|array", R"("a")", R"([[],""])",
     "texts that end an answer are 'stop'"},
    {"suffix", kCompletionsFields, kRefused, "string", R"("x")", R"([""])",
     "insertion before a suffix is not implemented"},
    {"t_max_predict_ms", kCalls, kRefused, "integer", "100", "[0,-1]",
     "a bound on the time of a request is 'timeout'"},
    {"t_max_prompt_ms", kCalls, kRefused, "integer", "100", "[0,-1]",
     "a bound on the time of a request is 'timeout'"},
    {"task", kCalls, kRefused, "string", R"("query")", "", "tasks are not implemented"},
    {"template", kCalls, kRefused, "string", R"("x")", R"([""])", "the model's own template is used"},
    {"tfs_z", kCalls, kRefused, "number", "0.5", "[1]", "this sampler is not implemented"},
    {"think", kCalls, kRefused, "boolean|string", "true", "",
     "use 'chat_template_kwargs', with what the model's template knows"},
    {"thinking_forced_open", kCalls, kRefused, "boolean", "true", "[false]",
     "the prompt says whether thoughts are open"},
    {"thinking_token_budget", kCalls, kRefused, "integer", "5", "", "thoughts have no bound of their own"},
    {"timings_per_token", kCalls, kRefused, "boolean", "true", "[false]", "the answer's 'uhd' tells times"},
    {"tool_choice", kCompletionsFields, kRefused, "string|object", R"("required")", R"(["none","auto"])",
     "tools need a conversation"},
    {"tools", kCompletionsFields, kRefused, "array", R"([{"type":"function","function":{"name":"f"}}])",
     "[[]]", "tools need a conversation"},
    {"tools", kMessageFields, kRefused, "array", R"([{"type":"function"}])", "[[]]",
     "tools stand beside the messages"},
    {"top_a", kCalls, kRefused, "number", "0.5", "[0]", "this sampler is not implemented"},
    {"top_logprobs", kCompletionsFields, kRefused, "integer", "1", "[0]",
     "the field is called 'logprobs' here"},
    {"top_logprobs", kResponsesFields, kRefused, "integer", "1", "[0]",
     "/v1/chat/completions has log-probabilities"},
    {"top_n_sigma", kCalls, kRefused, "number", "1", "[0,-1]", "this sampler is not implemented"},
    {"truncation", kResponsesFields, kRefused, "string", R"("auto")", R"(["disabled"])",
     "a conversation is not shortened"},
    {"truncation_side", kCalls, kRefused, "string", R"("right")", R"(["left"])",
     "a prompt keeps its last tokens"},
    {"typical_p", kCalls, kRefused, "number", "0.9", "[1]", "this sampler is not implemented"},
    {"use_audio_in_video", kCalls, kRefused, "boolean", "true", "[false]", "video is not supported"},
    {"use_beam_search", kCalls, kRefused, "boolean", "true", "[false]", "beam search is not implemented"},
    {"verbosity", kCalls, kRefused, "string", R"("low")", R"(["medium"])",
     "say in the messages how long an answer should be"},
    {"verbosity", kTextFields, kRefused, "string", R"("low")", R"(["medium"])",
     "say in the messages how long an answer should be"},
    {"vllm_xargs", kCalls, kRefused, "object", R"({"a":1})", "[{}]", "code of clients is not run"},
    {"watermarking", kCalls, kRefused, "boolean", "true", "[false]", "watermarks are not implemented"},
    {"web_search_options", kCalls, kRefused, "object", "{}", "", "the server fetches nothing"},
    {"whitespace_pattern", kStructuredFields, kRefused, "string", R"("a")", "",
     "white space between JSON's tokens is the model's"},
    {"with_pieces", kTokenizeFields, kRefused, "boolean", "true", "[false]",
     "the field is called 'return_token_strs' here"},
    {"xtc_probability", kCalls, kRefused, "number", "0.1", "[0]", "this sampler is not implemented"},
};

constexpr std::pair<FieldObject, std::string_view> kObjects[] = {
    {kChatFields, "chat"},
    {kCompletionsFields, "completions"},
    {kPlanFields, "plan"},
    {kTokenizeFields, "tokenize"},
    {kDetokenizeFields, "detokenize"},
    {kStreamOptionsFields, "stream_options"},
    {kResponseFormatFields, "response_format"},
    {kMessageFields, "message"},
    {kTextPartFields, "text part"},
    {kImagePartFields, "image part"},
    {kSizePartFields, "image_size part"},
    {kImageUrlFields, "image_url"},
    {kStructuredFields, "structured_outputs"},
    {kJsonSchemaFields, "json_schema"},
    {kToolFields, "tool"},
    {kFunctionFields, "function"},
    {kToolCallFields, "tool_call"},
    {kCalledFields, "called function"},
    {kChosenFields, "chosen function"},
    {kResponsesFields, "responses"},
    {kInputItemFields, "input item"},
    {kInputPartFields, "input part"},
    {kTextFields, "text"},
    {kTextFormatFields, "text.format"},
    {kFlatToolFields, "responses tool"},
};

std::string objects_text(uint32_t objects) {
  std::string text;
  if ((objects & kCalls) == kCalls) {
    text = "calls";
    objects &= ~kCalls;
  }
  for (const auto& [object, name] : kObjects) {
    if ((objects & object) != 0) text += message(text.empty() ? "" : ", ", name);
  }
  return text;
}

// Breaks a paragraph of a list into lines of at most 110 columns.
std::string wrapped(std::string_view text) {
  constexpr size_t kColumns = 110;
  std::string out;
  size_t column = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (column > 0 && column + 1 + end > kColumns) {
      out += "\n  ";
      column = 2;
    } else if (column > 0) {
      out += ' ';
      ++column;
    }
    out += text.substr(0, end);
    column += end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

// Adds "- why: `a`, `b`." for fields that have a reason in common.
void add_reason(std::string& page, FieldUse use, std::string_view reason) {
  std::string names;
  std::string_view last;
  for (const RequestField& field : kFields) {
    if (field.use != use || field.text != reason || field.name == last) continue;
    last = field.name;
    names += message(names.empty() ? "" : ", ", '`', field.name, '`');
    if ((field.objects & kCalls) != kCalls) names += message(" (", objects_text(field.objects), ')');
  }
  page += wrapped(message("- ", reason, ": ", names, '.'));
  page += '\n';
}

void add_reasons(std::string& page, FieldUse use) {
  std::vector<std::string_view> reasons;
  for (const RequestField& field : kFields) {
    if (field.use != use || std::find(reasons.begin(), reasons.end(), field.text) != reasons.end()) continue;
    reasons.push_back(field.text);
  }
  for (const std::string_view reason : reasons) add_reason(page, use, reason);
}

}  // namespace

std::span<const RequestField> request_fields() { return kFields; }

const RequestField* find_request_field(FieldObject object, std::string_view name) {
  for (const RequestField& field : kFields) {
    if ((field.objects & object) != 0 && field.name == name) return &field;
  }
  return nullptr;
}

std::string_view nearest_request_field(FieldObject object, std::string_view name) {
  std::string_view nearest;
  size_t least = name.size() / 2 + 1;
  for (const RequestField& field : kFields) {
    if ((field.objects & object) == 0) continue;
    const size_t distance = edit_distance(name, field.name);
    if (distance >= least) continue;
    nearest = field.name;
    least = distance;
  }
  return nearest;
}

std::vector<std::string_view> types_of(const RequestField& field) {
  std::vector<std::string_view> types;
  for (std::string_view rest = field.types; !rest.empty();) {
    const size_t end = std::min(rest.find('|'), rest.size());
    types.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return types;
}

std::string types_text(const RequestField& field) {
  std::string text;
  for (const std::string_view type : types_of(field)) text += message(text.empty() ? "" : " or ", type);
  return text;
}

std::string_view name_of(FieldObject object) {
  for (const auto& [known, name] : kObjects) {
    if (known == object) return name;
  }
  return "";
}

std::string request_fields_page() {
  std::string page =
      "| honoured field | in | value | what it does |\n"
      "|---|---|---|---|\n";
  for (const RequestField& field : kFields) {
    if (field.use != FieldUse::honoured) continue;
    page += message("| `", field.name, "` | ", objects_text(field.objects), " | ", types_text(field), " | ",
                    field.text, " |\n");
  }
  page +=
      "\nThese are accepted, because they cannot change the answer; a value of a wrong type is refused:\n\n";
  add_reasons(page, FieldUse::accepted);
  page +=
      "\nThese are refused with `unsupported_parameter`, because dropping them could change the answer, "
      "unless\n"
      "their value asks for nothing (such as `false`, `[]` or a penalty's neutral number):\n\n";
  add_reasons(page, FieldUse::refused);
  return page;
}

}  // namespace uhd
