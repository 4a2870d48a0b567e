// Checks the published conversations and templates of the goldens: text, ids, and the places of the images.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/config.h"
#include "model/prompt.h"
#include "model/text/chat_template.h"
#include "model/text/sentencepiece_tokenizer.h"
#include "model/text/tokenizer_json.h"
#include "tests/model/tokenizer_tables.h"
#include "tests/support/goldens.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

fs::path model_with(const std::string& file, const std::string& name = "") {
  for (const auto& entry : fs::directory_iterator(goldens_directory() / "models")) {
    if (fs::exists(entry.path() / file) && entry.path().filename().string().starts_with(name)) {
      return entry.path();
    }
  }
  throw Error("no model " + name + " of the goldens has " + file);
}

// Joins the chunks around the images with the mark of the tables.
std::vector<int32_t> joined(const std::vector<std::vector<int32_t>>& chunks) {
  std::vector<int32_t> ids = chunks[0];
  for (size_t i = 1; i < chunks.size(); ++i) {
    ids.push_back(-200);
    ids.insert(ids.end(), chunks[i].begin(), chunks[i].end());
  }
  return ids;
}

// Every "<image>" of the text taken for an image, as the reference's prompts are read.
ChatText with_images(const std::string& text) {
  ChatText chat{text, {}, {}};
  for (size_t at = text.find("<image>"); at != std::string::npos; at = text.find("<image>", at + 7)) {
    chat.images.push_back({at, at + 7});
  }
  return chat;
}

struct Turns {
  std::vector<ChatTurn> turns;
  bool open = false;  // the assistant's turn is still to be written
};

// as_images: "<image>\n" at the beginning of a turn becomes an image part.
Turns turns_of(const boost::json::value& row, bool as_images) {
  Turns result;
  for (const auto& turn : row.at("turns").as_array()) {
    if (turn.at(1).is_null()) {
      result.open = true;
      continue;
    }
    ChatTurn& added = result.turns.emplace_back();
    added.role = turn.at(0).as_string() == "u" ? "user" : "assistant";
    std::string text(turn.at(1).as_string());
    for (; as_images && text.starts_with("<image>\n"); text.erase(0, 8)) added.parts.push_back({"", true});
    added.parts.push_back({text, false});
  }
  return result;
}

size_t images_in(const std::vector<ChatTurn>& turns) {
  size_t images = 0;
  for (const ChatTurn& turn : turns) {
    for (const ChatPart& part : turn.parts) images += part.image ? 1 : 0;
  }
  return images;
}

bool begins_with_text_before_image(const std::vector<ChatTurn>& turns) {
  return std::any_of(turns.begin(), turns.end(), [](const ChatTurn& turn) {
    return !turn.parts.front().image && turn.parts.size() > 1 && turn.parts[1].image;
  });
}

TEST(ChatGoldens, LlavaConversations) {
  const std::string model = read_text_file(model_with("tokenizer.model") / "tokenizer.model");
  const auto modern = make_sentencepiece_tokenizer(model, {.legacy = false}, "modern");
  const auto legacy = make_sentencepiece_tokenizer(model, {.legacy = true}, "legacy");
  size_t rows = 0;
  for (const fs::path& path : find_goldens("chat", "vicuna", ".jsonl")) {
    for (const auto& row : read_json_lines(path)) {
      const TemporaryDirectory directory;
      directory.write("config.json",
                      R"({"model_type":"llava_llama","conversation":")" + text_of(row, "mode") + "\"}");
      const auto chat = load_chat_template(directory.path());
      const std::string prompt = text_of(row, "prompt");
      const Turns plain = turns_of(row, false);
      EXPECT_EQ(chat->render(plain.turns, plain.open).text, prompt);
      EXPECT_TRUE(chat->render(plain.turns, plain.open).images.empty()) << prompt;
      const ChatText images = with_images(prompt);
      EXPECT_EQ(joined(encode_around_images(images, *modern)), ids_of(row.at("ids_legacy_false"))) << prompt;
      EXPECT_EQ(joined(encode_around_images(images, *legacy)), ids_of(row.at("ids_legacy_true"))) << prompt;
      const Turns parts = turns_of(row, true);
      const ChatText rendered = chat->render(parts.turns, parts.open);
      EXPECT_EQ(rendered.text, prompt);
      // A client that puts its text first asks the same.
      EXPECT_EQ(chat->image_order(), ImageOrder::first);
      std::vector<ChatTurn> moved = parts.turns;
      for (ChatTurn& turn : moved) std::rotate(turn.parts.begin(), turn.parts.end() - 1, turn.parts.end());
      if (images_in(moved) > 0) {
        EXPECT_NE(chat->render(moved, parts.open).text, prompt);
      }
      put_images_first(moved);
      EXPECT_EQ(chat->render(moved, parts.open).text, prompt);
      if (prompt.find("<image> ") == std::string::npos && prompt.find("<image><") == std::string::npos) {
        EXPECT_EQ(rendered.images, images.images) << prompt;
        EXPECT_EQ(joined(encode_around_images(rendered, *modern)), ids_of(row.at("ids_legacy_false")))
            << prompt;
      }
      ++rows;
    }
  }
  EXPECT_GT(rows, 0u);
}

// Text and image parts of a row of the templates' table.
std::vector<ChatTurn> messages_of(const boost::json::value& row) {
  std::vector<ChatTurn> turns;
  for (const auto& message : row.at("messages").as_array()) {
    ChatTurn& turn = turns.emplace_back(ChatTurn{text_of(message, "role"), {}});
    if (const auto* text = message.at("content").if_string()) {
      turn.parts.push_back({std::string(*text), false});
      continue;
    }
    for (const auto& part : message.at("content").as_array()) {
      turn.parts.push_back({part.is_null() ? "" : std::string(part.as_string()), part.is_null()});
    }
  }
  return turns;
}

TEST(ChatGoldens, Templates) {
  const fs::path minicpm = model_with("tokenizer.json", "minicpmv26");
  size_t rows = 0, texts_before_images = 0;
  for (const fs::path& path : find_goldens("chat", "chatml", ".jsonl")) {
    for (const auto& row : read_json_lines(path)) {
      const std::string name = text_of(row, "template");
      const bool smollm = name == "chatml_smollm2";
      const std::string short_name = smollm ? "smollm2" : name;
      const std::string source =
          read_text_file(goldens_directory() / "chat" / ("template_" + short_name + ".json"));
      const TemporaryDirectory directory;
      directory.write("tokenizer_config.json", R"({"chat_template":)" + source + "}");
      directory.write("config.json", smollm ? R"({"model_type":"llama"})" : R"({"model_type":"minicpmv"})");
      const auto chat = load_chat_template(directory.path());
      const auto turns = messages_of(row);
      EXPECT_EQ(chat->image_order(), ImageOrder::in_place);
      texts_before_images += begins_with_text_before_image(turns) ? 1 : 0;
      const ChatText rendered = chat->render(turns, row.at("add_generation_prompt").as_bool());
      EXPECT_EQ(rendered.text, text_of(row, "prompt"));
      EXPECT_EQ(rendered.images.size(), images_in(turns));
      const fs::path table = goldens_directory() / "tokenizers" / "smollm2_tokenizer.json";
      const auto tokenizer =
          smollm ? make_tokenizer_json(read_text_file(table), table.string()) : load_tokenizer(minicpm);
      if (rendered.images.size() == 1) {
        const ModelConfig config = read_model_config(minicpm);
        const SlicePlan whole{.image = {448, 448}, .source = {448, 448}, .overview = {448, 448}};
        Prompt prompt = build_prompt(rendered, *tokenizer, config, {&whole, 1});
        std::replace(prompt.ids.begin(), prompt.ids.end(), kVisualToken, tokenizer->id_of("<unk>").value());
        EXPECT_EQ(prompt.ids, ids_of(row.at("ids"))) << rendered.text;
      } else {
        EXPECT_EQ(tokenizer->encode(rendered.text, false, true), ids_of(row.at("ids"))) << rendered.text;
      }
      ++rows;
    }
  }
  EXPECT_GT(rows, 0u);
  EXPECT_GT(texts_before_images, 0u);
}

// Qwen3's template lets the model think unless it is told not to; MiniCPM says that it is not to, unless a
// request asks for it.
TEST(ChatGoldens, ThinkingIsLeftToTheTemplateButForMiniCpm) {
  size_t rows = 0, rows_that_think = 0;
  for (const auto& entry : fs::directory_iterator(goldens_directory() / "models")) {
    for (const fs::path& path : find_goldens("models" / entry.path().filename(), "golden_chat", ".jsonl")) {
      const TemporaryDirectory directory;
      directory.write("tokenizer_config.json", read_text_file(entry.path() / "tokenizer_config.json"));
      const auto tokenizer = load_tokenizer(entry.path());
      for (const auto& row : read_json_lines(path)) {
        const auto& thinks = row.at("enable_thinking");
        directory.write("config.json",
                        thinks.is_null() ? R"({"model_type":"qwen3"})" : R"({"model_type":"minicpmo"})");
        const bool asked = thinks.is_bool() && thinks.as_bool();
        const ChatText rendered =
            load_chat_template(directory.path())
                ->render(messages_of(row), ChatEnd::new_turn, asked ? R"({"enable_thinking":true})" : "");
        EXPECT_EQ(rendered.text, text_of(row, "prompt"));
        EXPECT_EQ(tokenizer->encode(rendered.text, false, true), ids_of(row.at("ids"))) << rendered.text;
        ++rows;
        rows_that_think += asked ? 1 : 0;
      }
    }
  }
  EXPECT_TRUE(rows > 0 || !bundled_goldens());
  EXPECT_TRUE(rows_that_think > 0 || !bundled_goldens());
}

// The models' own prompts, through the same path as a request.
class PromptGoldens : public ::testing::Test {
 protected:
  struct Loaded {
    ModelConfig config;
    std::shared_ptr<const Tokenizer> tokenizer;
    std::shared_ptr<const ChatTemplate> chat;
  };
  static Loaded load(const fs::path& directory) {
    return {read_model_config(directory), load_tokenizer(directory), load_chat_template(directory)};
  }
  static std::vector<SlicePlan> plans_of(const boost::json::value& golden, const ModelConfig& given) {
    ModelConfig config = given;
    if (const auto* prescale = golden.as_object().if_contains("prescale_longest_to")) {
      config.slicing.prescale_longest = prescale->is_null() ? 0 : static_cast<int>(prescale->as_int64());
    }
    std::vector<SlicePlan> plans;
    const auto add = [&](const boost::json::value& size) {
      plans.push_back(plan_slices({size.at(0).as_int64(), size.at(1).as_int64()}, config.slicing));
    };
    if (const auto* sizes = golden.as_object().if_contains("image_sizes")) {
      for (const auto& size : sizes->as_array()) add(size);
    } else if (const auto* size = golden.as_object().if_contains("image_size")) {
      add(*size);
    } else {
      plans.push_back(plan_slices({640, 480}, config.slicing));  // one square, whatever the image
    }
    return plans;
  }
};

std::vector<VisualSpan> spans_of(const boost::json::value& golden) {
  std::vector<VisualSpan> spans;
  if (const auto* layout = golden.as_object().if_contains("layout")) {
    int slices = 0;
    for (const auto& part : layout->as_array()) slices += part.at("what").as_string() == "slice" ? 1 : 0;
    for (const auto& part : layout->as_array()) {
      if (part.at("what").as_string() == "sep") continue;
      const auto* index = part.as_object().if_contains("index");
      const int piece = index != nullptr ? static_cast<int>(index->as_int64()) : slices;
      spans.push_back({0, piece, static_cast<int>(part.at("start").as_int64()),
                       static_cast<int>(part.at("len").as_int64())});
    }
  } else if (golden.as_object().contains("image_start")) {
    spans.push_back({0, 0, static_cast<int>(golden.at("image_start").as_int64()),
                     static_cast<int>(golden.at("image_len").as_int64())});
  }
  return spans;
}

TEST_F(PromptGoldens, ImagePromptsAndTextPrompts) {
  size_t prompts = 0;
  for (const auto& entry : fs::directory_iterator(goldens_directory() / "models")) {
    for (const fs::path& path : find_goldens("models" / entry.path().filename(), "golden_", ".json")) {
      const bool image = path.filename().string().starts_with("golden_image_");
      if (!image && !path.filename().string().starts_with("golden_text")) continue;
      SCOPED_TRACE(path.string());
      const Loaded model = load(entry.path());
      const boost::json::value golden = boost::json::parse(read_text_file(path));
      if (!image) {
        EXPECT_EQ(
            build_prompt(ChatText{text_of(golden, "prompt"), {}, {}}, *model.tokenizer, model.config, {}).ids,
            ids_of(golden.at("input_ids")));
        ++prompts;
        continue;
      }
      const auto plans = plans_of(golden, model.config);
      ChatTurn turn{"user", std::vector<ChatPart>(plans.size(), ChatPart{"", true})};
      turn.parts.push_back({text_of(golden, "question"), false});
      EXPECT_EQ(model.chat->render({turn}, true).text, text_of(golden, "prompt"));
      const Prompt prompt = build_prompt({turn}, true, *model.chat, *model.tokenizer, model.config, plans);
      EXPECT_EQ(prompt.ids.size(), golden.at("embeds_len").as_int64());
      if (const auto* bounds = golden.as_object().if_contains("image_bounds")) {
        std::vector<int32_t> ids = prompt.ids;
        const auto wanted = ids_of(golden.at("input_ids"));
        const auto placeholder = wanted.at(bounds->at(0).at(0).to_number<size_t>());
        std::replace(ids.begin(), ids.end(), kVisualToken, placeholder);
        EXPECT_EQ(ids, wanted);
        ASSERT_EQ(prompt.spans.size(), bounds->as_array().size());
        for (size_t i = 0; i < prompt.spans.size(); ++i) {
          EXPECT_EQ(prompt.spans[i].position, bounds->at(i).at(0).as_int64());
          EXPECT_EQ(prompt.spans[i].position + prompt.spans[i].length, bounds->at(i).at(1).as_int64());
        }
      } else {
        EXPECT_EQ(joined(encode_around_images(model.chat->render({turn}, true), *model.tokenizer)),
                  ids_of(golden.at("input_ids")));
        EXPECT_EQ(prompt.spans, spans_of(golden));
        if (const auto* layout = golden.as_object().if_contains("layout")) {
          for (const auto& part : layout->as_array()) {
            if (part.at("what").as_string() == "sep") {
              EXPECT_EQ(prompt.ids[part.at("start").as_int64()], part.at("token").as_int64());
            }
          }
        }
      }
      ++prompts;
    }
  }
  EXPECT_GT(prompts, 0u);
}

}  // namespace
}  // namespace uhd
