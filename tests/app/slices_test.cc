// Tests the subcommand as it is called: its exit status, its output and the pictures it writes.
#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "model/vision/png_writer.h"
#include "model/vision/resize.h"
#include "tests/app/command_fixture.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

class SlicesCommand : public Command {
 protected:
  SlicesCommand() : Command("slices") {}

  // A gradient, 672 x 1008: two columns and three rows of native cells.
  std::string write_page() {
    Image page{672, 1008, {}};
    for (int i = 0; i < page.width * page.height; ++i) {
      page.pixels.insert(page.pixels.end(), {static_cast<uint8_t>(i % page.width / 4),
                                             static_cast<uint8_t>(i / page.width / 5), 90});
    }
    return write("page.png", encode_png(page));
  }

  Image read(const std::string& name) {
    std::ifstream file(directory() / name, std::ios::binary);
    EXPECT_TRUE(file.good()) << name;
    return decode_image(std::string{std::istreambuf_iterator<char>(file), {}}, {}, false);
  }

  struct Place {
    int x = 0, y = 0;
  };

  // Returns where the whole piece lies in the sheet.
  static Place place_of(const Image& piece, const Image& sheet) {
    const auto row = [](const Image& image, int x, int y) {
      return image.pixels.begin() + (static_cast<std::ptrdiff_t>(y) * image.width + x) * 3;
    };
    const auto lies_at = [&](int x, int y) {
      for (int line = 0; line < piece.height; ++line) {
        const auto from = row(piece, 0, line);
        if (!std::equal(from, from + std::ptrdiff_t{3} * piece.width, row(sheet, x, y + line))) return false;
      }
      return true;
    };
    for (int y = 0; y + piece.height <= sheet.height; ++y) {
      for (int x = 0; x + piece.width <= sheet.width; ++x) {
        if (lies_at(x, y)) return {x, y};
      }
    }
    ADD_FAILURE() << "a piece is not in the sheet";
    return {};
  }

  // Tells whether letters in the colour of the prompt's words stand in this part, whose corners are given.
  static bool has_words(const Image& sheet, Place from, Place to) {
    int count = 0;
    for (int y = from.y; y < to.y; ++y) {
      for (int x = from.x; x < to.x; ++x) {
        const uint8_t* pixel = &sheet.pixels[(static_cast<size_t>(y) * sheet.width + x) * 3];
        count += static_cast<int>(pixel[0] > pixel[2] + 60);
      }
    }
    return count > 3;
  }
};

TEST_F(SlicesCommand, PrintsThePlanForPeople) {
  const std::string output = run(write_page() + " --plan-only");
  EXPECT_EQ(status(), 0);
  EXPECT_NE(output.find("2 columns x 3 rows = 6 slices"), std::string::npos) << output;
  EXPECT_NE(output.find("448 visual, 6 separators"), std::string::npos) << output;
  EXPECT_FALSE(fs::exists(directory() / "page-slices"));
}

TEST_F(SlicesCommand, PrintsThePlanForPrograms) {
  const json::value plan = json::parse(run(write_page() + " --json --plan-only --max-slices 1 --tokens 144"));
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(plan.at("image"), json::value({672, 1008}));
  EXPECT_TRUE(plan.at("slices").as_array().empty());
  EXPECT_TRUE(plan.at("cell").is_null());
  EXPECT_EQ(plan.at("visual_tokens").to_number<int>(), 144);
}

TEST_F(SlicesCommand, WritesEverySliceAndTheContactSheet) {
  const json::value plan = json::parse(run(write_page() + " --json --out pictures"));
  EXPECT_EQ(status(), 0);
  const json::array& slices = plan.at("slices").as_array();
  ASSERT_EQ(slices.size(), 6u);
  const Image page = read("page.png");
  for (size_t i = 0; i < slices.size(); ++i) {
    const Image slice = read(std::string(slices[i].at("file").as_string()));
    const int x = static_cast<int>(i % 2) * 336, y = static_cast<int>(i / 2) * 336;
    EXPECT_EQ(slice.pixels, resize_bicubic_window(page, Size{672, 1008}, {x, y, 336, 336})) << i;
  }
  const Image overview = read(std::string(plan.at("overview").at("file").as_string()));
  EXPECT_EQ(overview.pixels, resize_bicubic(page, 266, 406).pixels);

  // The sheet shows every piece pixel by pixel, in its place.
  const Image sheet = read(std::string(plan.at("contact_sheet").as_string()));
  std::vector<Place> places;
  for (const json::value& slice : slices) {
    places.push_back(place_of(read(std::string(slice.at("file").as_string())), sheet));
  }
  for (size_t i = 0; i < slices.size(); ++i) {
    EXPECT_EQ(places[i].x, places[i % 2].x) << i;
    EXPECT_EQ(places[i].y, places[i / 2 * 2].y) << i;
  }
  EXPECT_GT(places[1].x, places[0].x + 336);
  EXPECT_GT(places[2].y, places[0].y + 336);
  EXPECT_GT(place_of(overview, sheet).x, places[1].x + 336);
  // Words stand between the slices of a row and behind it; and the gap between rows has none.
  const int middle = places[0].y + 336 / 2;
  EXPECT_TRUE(has_words(sheet, {places[0].x + 337, middle - 10}, {places[1].x - 2, middle + 10}));
  EXPECT_TRUE(has_words(sheet, {places[1].x + 337, middle - 10}, {places[1].x + 370, middle + 10}));
  EXPECT_FALSE(has_words(sheet, {places[0].x, places[0].y + 337}, {places[0].x + 336, places[2].y - 2}));
}

TEST_F(SlicesCommand, TheSheetShowsTheWordsOfTheModel) {
  const std::string model = fs::absolute(goldens_directory() / "models" / "minicpmv26-tiny").string();
  const json::value plan = json::parse(run(write_page() + " --json --model '" + model + "'"));
  EXPECT_EQ(status(), 0);
  const Image sheet = read(std::string(plan.at("contact_sheet").as_string()));
  const Place overview = place_of(read(std::string(plan.at("overview").at("file").as_string())), sheet);
  const Place slice = place_of(read(std::string(plan.at("slices").at(0).at("file").as_string())), sheet);
  EXPECT_GT(slice.x, overview.x);                 // MiniCPM-V's overview comes first
  for (const Place& place : {overview, slice}) {  // <image> and <slice> stand above
    EXPECT_TRUE(has_words(sheet, {place.x, place.y - 20}, {place.x + 80, place.y - 2}));
  }
}

TEST_F(SlicesCommand, TheSheetShowsTheBeginningOfALongWord) {
  const fs::path models = goldens_directory() / "models";
  const auto written = [&](const fs::path& from, const std::string& to, const std::string& what,
                           const std::string& with) {
    std::ifstream file(models / from, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    text.replace(text.find(what), what.size(), with);
    write(to, text);
  };
  std::string word;
  for (int i = 0; i < 2000; ++i) word += "\u0436";
  written("uhd-v1-tiny/config.json", "config.json", "936", "1014");  // the separator's id
  written("minicpmv26-tiny/tokenizer.json", "tokenizer.json", "<slice>", word);
  fs::copy(models / "clip-tiny", directory() / "clip-tiny");
  const json::value plan = json::parse(run(write_page() + " --json --model ."));
  EXPECT_EQ(status(), 0);
  EXPECT_LT(read(std::string(plan.at("contact_sheet").as_string())).width, 2000);
}

TEST_F(SlicesCommand, TheSheetOfOneViewAndOfAnyName) {
  Image dot{3, 2, std::vector<uint8_t>(18, 200)};
  const std::string bytes = encode_png(dot);
  const auto sheet_of = [&](const std::string& name) {
    const json::value plan = json::parse(run(message('\'', write(name, bytes), "' --json --out one")));
    EXPECT_EQ(status(), 0);
    const Image sheet = read(std::string(plan.at("contact_sheet").as_string()));
    place_of(read(std::string(plan.at("overview").at("file").as_string())), sheet);
    return sheet;
  };
  const Image plain = sheet_of("dot.png");
  const Image other = sheet_of("\u0436\u0443\u043a \u4e2d.png");
  EXPECT_EQ(plain.width, other.width);
  EXPECT_NE(plain.pixels, other.pixels);
  EXPECT_EQ(sheet_of(std::string(200, 'w') + ".png").width, plain.width);  // a long name is shortened
}

TEST_F(SlicesCommand, SlicesAsTheModelDirectorySays) {
  const fs::path model = goldens_directory() / "models" / "minicpmv26-tiny";
  const json::value plan =
      json::parse(run(write_page() + " --json --plan-only --model '" + fs::absolute(model).string() + "'"));
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(plan.at("columns").to_number<int>(), 2);
  EXPECT_EQ(plan.at("rows").to_number<int>(), 2);
}

TEST_F(SlicesCommand, NamesAFileThatIsNoImage) {
  const std::string output = run(write("notes.txt", "hello"));
  EXPECT_EQ(status(), 1);
  EXPECT_EQ(output, "uhd: notes.txt: the image is not JPEG, PNG or WebP\n");
}

TEST_F(SlicesCommand, RefusesWrongArguments) {
  run("absent.png");
  EXPECT_NE(status(), 0);
  run(write_page() + " --max-slices 0");
  EXPECT_NE(status(), 0);
  run(write_page() + " --maximum 3");
  EXPECT_NE(status(), 0);
}

}  // namespace
}  // namespace uhd
