-- The tables that the example application keeps its users in, for MySQL, MariaDB and SQLite alike.
--
-- What stands between /*! and */ is code to MySQL and MariaDB and a comment to SQLite; /*M! is for MariaDB alone, and
-- a number asks for that version of MySQL or later (MariaDB passes over 50700 to 99999). It is loaded once, into a
-- database that has no table `user` yet; migrations start after it.
--
-- Collation: characters are equal when they are the same, as SQLite has it. MySQL's default would find 'ANN' and 'Ann '
-- for 'Ann', and 'Müller' for 'Muller'. utf8mb4_bin still takes no notice of spaces at the end; the two names below,
-- one per server, do.
--
-- Lengths count characters: SUBSTR does on every engine, while LENGTH counts bytes on MySQL. SQLite would store any
-- type in any column: it puts text after all numbers, so a text is no age, and ROUND refuses a fraction; REPLACE gives
-- text, so a BLOB, which equals no text, is refused.

CREATE TABLE `user` (
    `id`   INTEGER PRIMARY KEY /*! AUTO_INCREMENT */,
    `name` VARCHAR(50) NOT NULL,
    `age`  INTEGER NOT NULL,
    `sex`  VARCHAR(6) NOT NULL,
    `city` VARCHAR(50) NOT NULL,
    CONSTRAINT `user_name_valid` CHECK (`name` <> '' AND SUBSTR(`name`, 51) = '' AND REPLACE(`name`, 'a', 'a') = `name`),
    CONSTRAINT `user_age_valid` CHECK (`age` BETWEEN 0 AND 150 AND ROUND(`age`) = `age`),
    CONSTRAINT `user_sex_valid` CHECK (`sex` IN ('male', 'female', 'other')),
    CONSTRAINT `user_city_valid` CHECK (SUBSTR(`city`, 51) = '' AND REPLACE(`city`, 'a', 'a') = `city`)
) /*! ENGINE=InnoDB CHARACTER SET utf8mb4 */ /*M! COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */;

CREATE INDEX `user_city` ON `user` (`city`);
CREATE INDEX `user_name` ON `user` (`name`);

-- What a POST with an Idempotency-Key was answered: a client that got no answer asks again with the same key, gets this
-- one, and no second user is made. A row is of no use once its client has given up, say after a day.
CREATE TABLE `user_posted` (
    `key`    VARCHAR(100) PRIMARY KEY,
    `answer` VARCHAR(500) NOT NULL,
    `at`     DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
) /*! ENGINE=InnoDB CHARACTER SET utf8mb4 */ /*M! COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */;

CREATE INDEX `user_posted_at` ON `user_posted` (`at`);

INSERT INTO `user` (`name`, `age`, `sex`, `city`) VALUES
    ('王伟', 34, 'male', '北京'),
    ('李娜', 28, 'female', '上海'),
    ('张敏', 41, 'female', '北京'),
    ('刘洋', 19, 'other', '成都'),
    ('陈静', 52, 'female', '广州'),
    ('Ada Lovelace', 36, 'female', 'London'),
    ('Grace Hopper', 85, 'female', 'New York'),
    ('Alan Turing', 41, 'male', 'London'),
    ('Zoë Müller', 23, 'female', 'Zürich'),
    ('Joaquín Peña', 67, 'male', 'Sevilla'),
    ('佐藤 翔', 30, 'male', '東京'),
    ('Conan O''Brien', 7, 'male', 'Dublin');
